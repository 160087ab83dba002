"""A built smoke world of each design for all tests, made by the command that users type, and kept between runs.

Steps are skipped when nothing changed, so a second `make test` starts at once; `make clean` removes it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from infra.registry.release import Release, read_release
from infra.settings import REPOSITORY, Settings
from lab.designs import NAMES
from lab.services import ports

HOME = REPOSITORY / "var" / "tests"
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("LAB_")} | {
    "LAB_HOME": str(HOME),
    "LAB_PRESET": "smoke",
}


@pytest.fixture(scope="session")
def settings() -> Settings:
    """Settings of the built smoke world, in which nothing has happened live yet."""
    logs = [HOME / "smoke" / name / "live" for name in NAMES]
    if any((live / part).exists() for live in logs for part in ("log", "shown")):  # of a lab that was started by hand
        shutil.rmtree(HOME / "smoke")
    for name in NAMES:
        command = [sys.executable, "-m", "lab", "build", name]
        done = subprocess.run(command, env=ENVIRONMENT, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return Settings(home=HOME, preset="smoke")


@pytest.fixture(scope="session")
def release(settings: Settings) -> Release:
    return read_release(settings.design_root("feed_ranking"))


@pytest.fixture
def free_port() -> int:
    return ports.free_port()
