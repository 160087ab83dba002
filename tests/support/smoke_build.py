"""Builds the smoke world that all suites share: once for all test processes, both designs at the same time.

A file lock admits one test process at a time; those that come later find every step done. Even a build that skips every
step takes seconds of imports, so none is started where the fingerprints say that nothing has changed.
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


def forget_used(home: Path) -> None:
    """Remove a built world in which something has happened live: the next build would learn from it."""
    settings = Settings(home=home, preset="smoke")
    if any((settings.design_root(name) / "live" / part).exists() for name in NAMES for part in ("log", "shown")):
        shutil.rmtree(settings.root)


def build_once(home: Path, environment: Mapping[str, str]) -> None:
    """Build what is not built under `home`. Fails with the build's own messages."""
    settings = Settings(home=home, preset="smoke")
    with lone(home / "tests.lock"):
        has_registry = (settings.root / "mlflow" / "mlflow.db").exists()
        missing = [name for name in NAMES if not (has_registry and is_built(find_design(name), settings))]
        builds = {name: start_build(name, environment) for name in missing}
        try:
            messages = {name: build.communicate()[1] for name, build in builds.items()}
        finally:
            for build in builds.values():
                build.kill()  # does nothing to one that has ended
        for name, build in builds.items():
            assert build.returncode == 0, f"{name}: {messages[name]}"


def copy_home(home: Path, copy: Path) -> None:
    """Make `copy` a home with the same builds, in which tests may live, push and build without touching `home`.

    Builds name their outputs by absolute paths, some of them in SQLite and in Feast's registry. Both paths have the
    same length, so that replacing the bytes keeps every file valid.
    """
    old, new = str(home.resolve()).encode(), str(copy.resolve()).encode()
    assert len(old) == len(new), f"{copy} must be as long as {home}"
    shutil.rmtree(copy, ignore_errors=True)
    with lone(home / "tests.lock"):
        shutil.copytree(home, copy, ignore=shutil.ignore_patterns("run", "*.lock"))
    for name in NAMES:  # the log of what happened live, as far as one was begun
        shutil.rmtree(Settings(home=copy, preset="smoke").design_root(name) / "live", ignore_errors=True)
    for file in [*copy.rglob("*.json"), *copy.rglob("*.db")]:
        content = file.read_bytes()
        if old in content:
            file.write_bytes(content.replace(old, new))


@contextmanager
def lone(lock: Path) -> Iterator[None]:
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
