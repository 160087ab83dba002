"""Planted causes that need a training each: the walk-throughs of `designs/debugging.md` at full length.

`make loop-more` runs these tests. They take about five minutes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.settings import REPOSITORY, Settings
from tests.conftest import ENVIRONMENT, HOME
from tests.e2e.conftest import run_lab
from tests.support.smoke_build import copy_home

PLANT_HOME = REPOSITORY / "var" / "weeks"
LAB = ENVIRONMENT | {"LAB_HOME": str(PLANT_HOME), "COLUMNS": "200"}


@pytest.fixture(scope="module")
def home(settings: Settings) -> Settings:
    copy_home(HOME, PLANT_HOME)
    return settings.model_copy(update={"home": PLANT_HOME})


@pytest.fixture
def healthy(home: Settings) -> Iterator[None]:
    yield
    lab("plant", "feed_ranking", "--clear")
    lab("build", "feed_ranking")


def lab(*words: str, codes: tuple[int, ...] = (0,)) -> str:
    done = run_lab(*words, environment=LAB)
    assert done.returncode in codes, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout or done.stderr


def figures() -> dict[str, Any]:
    """The figures of `lab evaluate`; a smoke world misses some of their bounds also without a planted cause."""
    rows = json.loads(lab("evaluate", "feed_ranking", "--json", codes=(0, 3)))
    return {row["id"]: row for row in rows}


def built_with(cause: str) -> dict[str, Any]:
    lab("plant", "feed_ranking", cause)
    built = json.loads(lab("build", "feed_ranking", "--json"))
    assert [step["name"] for step in built if not step["skipped"]][:2] == ["sample", "train"]
    return next(step["facts"] for step in built if step["name"] == "sample")


@pytest.mark.timeout(900)
def test_leak_raises_the_offline_auc_and_lowers_the_value_of_the_slates(healthy: None) -> None:
    before = figures()
    built_with("leak")
    after = figures()
    assert after["auc"]["low"] > before["auc"]["high"]
    assert after["captured_value"]["high"] < before["captured_value"]["low"]


@pytest.mark.timeout(900)
def test_skew_leaves_the_offline_auc_and_lowers_the_value_of_the_slates(healthy: None) -> None:
    before = figures()
    built_with("skew")
    after = figures()
    assert abs(after["auc"]["value"] - before["auc"]["value"]) < 0.02
    assert after["captured_value"]["high"] < before["captured_value"]["low"]


@pytest.mark.timeout(900)
def test_bucket_shows_that_a_feed_trains_only_on_its_own_slates(home: Settings) -> None:
    rows = json.loads(lab("feedback", "feed_ranking", "--weeks", "3", "--json"))
    own, cured = rows[2], rows[5]
    assert (own["loop"], cured["loop"]) == ("own slates only", "bucket and exploration")
    assert abs(own["calibration_shown"] - 1) < 0.25, "the slates that it chose do not show it"
    assert own["calibration_bucket"] > 1.5 > cured["calibration_bucket"]
