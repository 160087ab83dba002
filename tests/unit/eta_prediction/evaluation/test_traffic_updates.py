"""The traffic updates of benchmarks: other speeds and a newer time, written as the worker writes them."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from eta_prediction.domain import GROUPS
from eta_prediction.evaluation.benchmarks.traffic import next_state, traffic_updates
from eta_prediction.features.forecast import HORIZONS_MIN
from eta_prediction.items.road_state import FILE, RoadState
from infra.live.clock import WorldClock
from tests.support.containers import wait_for

NOW = 1_770_000_000.0
STATE = RoadState(
    7,
    NOW,
    np.zeros((GROUPS, len(HORIZONS_MIN)), np.float32),
    np.full(GROUPS, 9.0, np.float32),
    0.25,
    np.zeros(0, np.float32),
    np.array([3], np.int64),
    np.array([NOW - 60]),
)


def test_next_state_has_other_speeds_and_the_same_incidents() -> None:
    found = next_state(STATE, NOW + 10)
    assert (found.snapshot_id, found.made_ts, found.rain) == (8, NOW + 10, 0.25)
    assert found.forecast.dtype == np.float32
    assert (found.forecast != STATE.forecast).all()
    assert 0.03 < found.forecast.std() < 0.07
    np.testing.assert_array_equal(found.observed, STATE.observed)
    np.testing.assert_array_equal(found.incident_edge, STATE.incident_edge)
    assert not np.array_equal(next_state(found, NOW + 20).forecast, found.forecast)


def test_updates_are_written_at_the_start_and_again_until_the_end(tmp_path: Path) -> None:
    path, clock = tmp_path / FILE, WorldClock(NOW)
    with traffic_updates(STATE, clock, path, every_s=0.05):
        first = RoadState.read(path)
        assert NOW <= first.made_ts <= clock.now()
        wait_for(lambda: RoadState.read(path).made_ts > first.made_ts, "a second update")
    last = RoadState.read(path)
    time.sleep(0.2)
    assert RoadState.read(path).made_ts == last.made_ts
    assert not np.array_equal(last.forecast, STATE.forecast)
