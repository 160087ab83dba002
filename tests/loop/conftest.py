"""A lab whose monitor retrains."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.settings import REPOSITORY, Settings
from tests.conftest import HOME
from tests.e2e.conftest import Lab, running_until_the_end, start_lab
from tests.support.smoke_build import copy_home

LOOP_HOME = REPOSITORY / "var" / "live9"


@pytest.fixture(scope="module")
def retraining_lab(settings: Settings) -> Iterator[Lab]:
    copy_home(HOME, LOOP_HOME)
    yield from running_until_the_end(start_lab(LOOP_HOME, retrain=True))
