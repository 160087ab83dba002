"""Builds the smoke world that all suites share: once for all test processes, the designs in parallel.

A file lock admits one test process at a time; later processes find every step done. A build that skips every step still
takes seconds of imports, so no build starts if all fingerprints are unchanged.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from infra.build.current import is_built
from infra.design import resolve
from infra.settings import REPOSITORY, Settings
from lab.designs import NAMES, find_design


def remove_used(home: Path) -> None:
    """Remove a built world with live data, because the next build would train on that data."""
    settings = Settings(home=home, preset="smoke")
    cuts = [resolve(step.cut) for name in NAMES for step in find_design(name).steps if step.cut]
    if any(cut_of(settings) for cut_of in cuts):
        shutil.rmtree(settings.root)


def build_once(home: Path, environment: Mapping[str, str]) -> None:
    """Build the designs that are not built under `home`. A failed build raises `AssertionError` with its messages."""
    settings = Settings(home=home, preset="smoke")
    with exclusive(home / "tests.lock"):
        has_registry = (settings.root / "mlflow" / "mlflow.db").exists()
        missing = [name for name in NAMES if not (has_registry and is_built(find_design(name), settings))]
        builds = {name: start_build(name, environment) for name in missing}
        try:
            messages = {name: build.communicate()[1] for name, build in builds.items()}
        finally:
            for build in builds.values():
                build.kill()  # no effect on a build that has ended
        for name, build in builds.items():
            assert build.returncode == 0, f"{name}: {messages[name]}"


def copy_home(home: Path, copy: Path) -> None:
    """Copy the builds of `home` to the home `copy`, so that tests can write live data, push and build without changing
    `home`.

    Builds refer to their outputs by absolute paths, some of them in SQLite and in Feast's registry. Both paths have the
    same length, so every file stays valid when the function replaces the bytes of the path.
    """
    old, new = str(home.resolve()).encode(), str(copy.resolve()).encode()
    assert len(old) == len(new), f"{copy} must be as long as {home}"
    shutil.rmtree(copy, ignore_errors=True)
    with exclusive(home / "tests.lock"):
        shutil.copytree(home, copy, ignore=shutil.ignore_patterns("run", "*.lock"))
    for name in NAMES:  # the copy starts without live data
        shutil.rmtree(Settings(home=copy, preset="smoke").design_root(name) / "live", ignore_errors=True)
    for file in [*copy.rglob("*.json"), *copy.rglob("*.db")]:
        content = file.read_bytes()
        if old in content:
            file.write_bytes(content.replace(old, new))


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold a lock across processes. The kernel releases the lock when the process that holds it ends."""
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
