"""What all suites share: Hypothesis without deadlines, test processes, and one built smoke world of each design.

The world is built by the command that a user types, kept in `var/tests` between runs, and built again only
where a step's fingerprint has changed; `make clean` removes it.
"""

from __future__ import annotations

import os
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from infra.registry.release import Release, read_release
from infra.settings import REPOSITORY, Settings
from lab.services import ports
from tests.support.smoke_build import build_once, forget_used

hypothesis.settings.register_profile("lab", deadline=None, derandomize=True)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "lab"))

HOME = REPOSITORY / "var" / "tests"
OURS = ("LAB_", "PYTEST_", "HYPOTHESIS_")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | {
    "LAB_HOME": str(HOME),
    "LAB_PRESET": "smoke",
}


SHARED = {
    "broker": {f"tests/integration/test_{name}.py" for name in ("ctr_service", "feed_service", "feed_faults")},
    "lab": {f"tests/e2e/test_{name}.py" for name in ("live", "load", "staying_up", "using")},
}
"""files whose tests use one broker of the shared home, or one lab"""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Forget a smoke world that a lab has used, before any test process reads it."""
    if not hasattr(session.config, "workerinput"):
        forget_used(HOME)


class FilesTogether(LoadScopeScheduling):  # type: ignore[misc]
    """Keeps the tests of one file in one test process, and files that share a broker or a lab as well."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return next((group for group, files in SHARED.items() if file in files), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesTogether:
    return FilesTogether(config, log)


@pytest.fixture(scope="session")
def settings() -> Settings:
    """Settings of the built smoke world, in which nothing has happened live yet."""
    build_once(HOME, ENVIRONMENT)
    return Settings(home=HOME, preset="smoke")


@pytest.fixture(scope="session")
def release(settings: Settings) -> Release:
    return read_release(settings.design_root("feed_ranking"))


@pytest.fixture
def free_port() -> int:
    return ports.free_port()
