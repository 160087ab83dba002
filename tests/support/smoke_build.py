"""Builds the smoke world that all suites share: once for all test processes, all designs at the same time.

A file lock admits one test process at a time; those that come later find every step done. A build of steps that are
done still takes seconds of imports, so it is skipped where the fingerprints say that nothing changed.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra.build.fingerprints import is_built
from infra.settings import REPOSITORY, Settings
from lab.designs import NAMES, find_design


def build_once(home: Path, environment: Mapping[str, str]) -> None:
    """Build what is not built under `home`. Fails with the build's own messages."""
    settings = Settings(home=home, preset="smoke")
    with alone(home / "tests.lock"):
        if any((settings.design_root(name) / "live" / part).exists() for name in NAMES for part in ("log", "shown")):
            shutil.rmtree(settings.root)  # somebody has used this home: builds would learn from it
        has_registry = (settings.root / "mlflow" / "mlflow.db").exists()
        missing = [name for name in NAMES if not (has_registry and is_built(find_design(name), settings))]
        builds = {name: start_build(name, environment) for name in missing}
        messages = {name: build.communicate()[1] for name, build in builds.items()}
        for name, build in builds.items():
            assert build.returncode == 0, f"{name}: {messages[name]}"


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Hold a lock between processes; the kernel frees it when its holder ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def start_build(name: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "lab", "build", name],
        env=dict(environment),
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
