"""Shared configuration of all suites: Hypothesis profiles, test processes, and one built smoke world per design.

The fixtures build the world with the `lab build` command and keep it in `var/tests` between runs. A step runs again
only if its fingerprint has changed. `make clean` removes the world.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from infra.registry.release import Release, read_release
from infra.settings import REPOSITORY, Settings
from lab.services import ports
from tests.support.smoke_build import build_once, remove_used

hypothesis.settings.register_profile("lab", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "lab"))

HOME = REPOSITORY / "var" / "tests"
OURS = ("LAB_", "PYTEST_", "HYPOTHESIS_")
os.environ |= {
    "JAX_COMPILATION_CACHE_DIR": str(HOME / ".jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
}
"""All processes of a test run, and later runs, share compiled functions."""
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
"""XLA compiles without optimisation. The networks of the tests are so small that the optimisation takes longer than the
training, and no test measures the speed of a training."""
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | {
    "LAB_HOME": str(HOME),
    "LAB_PRESET": "smoke",
    "LAB_RETRAIN": "false",
}


SHARED = {
    "broker": {f"tests/integration/test_{name}.py" for name in ("ctr_service", "feed_service", "feed_faults")},
    "lab": {f"tests/e2e/test_{name}.py" for name in ("alerts", "live", "load", "staying_up", "using")},
    "learned": {
        f"tests/integration/ctr_prediction/{name}.py" for name in ("offline/test_learning", "evaluation/test_ceiling")
    },
}
"""Group -> test files that share the broker of the shared home, one running lab, or trained models."""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remove a smoke world that a running lab has written live data into, before any test process reads the world."""
    if not hasattr(session.config, "workerinput"):
        remove_used(HOME)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Import the test files without searching for garbage, and leave their modules out of every later search."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


class FilesTogether(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps the tests of one file in one test process, and likewise all files of a group of `SHARED`."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((group for group, files in SHARED.items() if file in files), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesTogether:
    return FilesTogether(config, log)


@pytest.fixture(scope="session")
def settings() -> Settings:
    """Settings of the built smoke world, which holds no live data yet."""
    build_once(HOME, ENVIRONMENT)
    return Settings(home=HOME, preset="smoke")


@pytest.fixture(scope="session")
def release(settings: Settings) -> Release:
    return read_release(settings.design_root("feed_ranking"))


@pytest.fixture
def free_port() -> int:
    return ports.free_port()
