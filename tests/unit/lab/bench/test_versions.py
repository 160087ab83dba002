"""The comparison of two versions sends every design what it understands, and refuses what it cannot compare."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import UsageError
from lab.bench.versions.checkout import python_of
from lab.bench.versions.questions import FEW_USERS, questions
from lab.bench.versions.run import SHORT, VERSION_BOUNDS, measure_versions
from lab.designs import NAMES, find_design


def test_every_design_can_be_compared() -> None:
    assert set(SHORT) == set(NAMES)
    assert len({bound.id for bound in VERSION_BOUNDS}) == len(VERSION_BOUNDS)


@pytest.mark.parametrize("name", ["feed_ranking", "ctr_prediction"])
def test_cold_requests_are_about_other_users_and_warm_ones_about_few(name: str) -> None:
    asked = questions(find_design(name), first=7_001)
    cold, warm = ([str(asked[kind](number)["user_id"]) for number in range(2_000)] for kind in ("cold", "warm"))
    assert len(set(cold)) == 2_000
    assert len(set(warm)) == FEW_USERS


def test_rides_begin_and_end_at_other_places() -> None:
    asked = questions(find_design("eta_prediction"))["cold"]
    trips = {(str(asked(number)["origin"]), str(asked(number)["destination"])) for number in range(500)}
    assert len(trips) == 500


def test_directory_without_an_environment_is_refused_with_a_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        python_of(tmp_path)
    assert "git worktree add" in str(caught.value.hint)


def test_unknown_figure_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no figure speed"):
        measure_versions(["speed"], 1, tmp_path, tmp_path)
