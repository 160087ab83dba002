"""What all suites share: Hypothesis without deadlines, test processes, and one built smoke world of each design.

The world is built by the command that a user types, kept in `var/tests` between runs, and built again only
where a step's fingerprint has changed; `make clean` removes it.
"""

from __future__ import annotations

import os

import hypothesis
import pytest

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


def pytest_sessionstart(session: pytest.Session) -> None:
    """Forget a smoke world that a lab has used, before any test process reads it."""
    if not hasattr(session.config, "workerinput"):
        forget_used(HOME)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one file in one test process, and files that use the same broker or lab as well."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


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
