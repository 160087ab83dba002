"""The law of a trip's time is the law of the generated times, and every kind of knowledge narrows it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from eta_prediction.domain import AIRPORT, POOLED, Array
from eta_prediction.world.law.laws import Knowledge, laws_of_day
from eta_prediction.world.replayed import ReplayedDay
from tests.support.eta_city import days, world

DRAWS = 128


@cache
def ranks() -> list[tuple[ReplayedDay, Array]]:
    """For each day, the share of each law below the true time, of every second trip and of all rare ones."""
    found = []
    for day in days():
        is_rare = day.found.is_event | (day.found.planned.demand.ride_type == AIRPORT)
        rows = np.flatnonzero(is_rare | (np.arange(len(is_rare)) % 2 == 0))
        rank = np.full(len(is_rare), np.nan)
        rank[rows] = (laws_of_day(world(), day, rows, DRAWS) < day.found.time_s[rows, None]).mean(1)
        found.append((day, rank))
    return found


def ranks_of(kind: str) -> Array:
    some = []
    for day, rank in ranks():
        demand, state = day.found.planned.demand, day.found.state
        kinds = {
            "all": np.ones(len(rank), bool),
            "pooled": demand.ride_type == POOLED,
            "airport": demand.ride_type == AIRPORT,
            "after an event": day.found.is_event,
            "rush hour": state.profile[np.minimum((demand.at_ts % 86_400 // 300).astype(int), 287)] > 0.7,
            "long": day.found.planned.km > np.quantile(day.found.planned.km, 0.8),
        }
        some.append(rank[kinds[kind] & np.isfinite(rank)])
    return np.concatenate(some)


@pytest.mark.parametrize("kind", ["all", "pooled", "airport", "after an event", "rush hour", "long"])
def test_true_times_are_uniform_in_their_law(kind: str) -> None:
    """Trips of one time share their traffic, so the tolerance is that of about a third as many independent trips."""
    found = ranks_of(kind)
    error = np.sqrt(3 / len(found))
    assert len(found) > 100
    assert np.mean((found > 0.1) & (found < 0.9)) == pytest.approx(0.8, abs=0.02 + 3 * 0.4 * error)
    assert np.mean(found) == pytest.approx(0.5, abs=0.02 + 3 * 0.29 * error)


@pytest.mark.parametrize("withheld", ["traffic", "turns", "places", "driver"])
def test_law_without_one_kind_of_knowledge_predicts_worse(withheld: Knowledge) -> None:
    lost = [np.mean(errors(day, withheld) - errors(day)) for day in range(len(days()))]
    assert np.mean(lost) > 2 * np.std(lost) / np.sqrt(len(lost))


@cache
def errors(day: int, withheld: Knowledge | None = None) -> Array:
    """float64[n]: absolute errors of the law's medians, for every sixth trip of the day."""
    found = days()[day]
    rows = np.arange(0, len(found.found.time_s), 6)
    law = laws_of_day(world(), found, rows, DRAWS, withheld)
    lost: Array = np.abs(np.median(law, axis=1) - found.found.time_s[rows])
    return lost
