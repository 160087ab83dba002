"""The parts of the learning: corrected route, encodings, level, blend and calibration, on planted truths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eta_prediction.offline.trip_files.route import routed
from eta_prediction.offline.trip_files.tally import Tally
from eta_prediction.offline.trip_files.trip_models.inputs import correct, encode
from eta_prediction.offline.trip_files.trip_models.learn import blend_weights, shift_of
from eta_prediction.offline.trip_files.trip_models.level import level_of
from eta_prediction.offline.trip_files.trips import Trips
from infra.columns import DAY_S
from tests.support.trip_files import grid, quiet


def test_correction_recovers_the_planted_line_and_hours(trips: Trips) -> None:
    _, sums, _ = routed(trips, grid(), quiet, Tally())
    hour = trips.clock_s % DAY_S // 3600
    slow = np.where((hour >= 16) & (hour < 19), 1.4, 1.0)
    noise = np.exp(0.1 * np.random.default_rng(0).normal(size=len(trips)))
    exact = replace(trips, seconds=(150 + 1.7 * sums.free_s) * slow * noise)
    found = correct(exact, sums)
    evening = np.array([hour in (16, 17, 18) for hour in range(24)] * 7)
    # shrinkage takes a part of each hour's factor
    assert found.by_hour[evening].mean() / found.by_hour[~evening].mean() == pytest.approx(1.3, abs=0.1)
    base = found.apply(exact, sums)
    assert np.abs(base - exact.seconds).mean() < 0.11 * exact.seconds.mean()
    line = correct(replace(trips, seconds=(150 + 1.7 * sums.free_s) * noise), sums)
    assert line.fixed_s == pytest.approx(150, abs=15)
    assert line.factor == pytest.approx(1.7, abs=0.06)


def test_own_label_does_not_reach_the_own_encoding(trips: Trips) -> None:
    rest = np.random.default_rng(0).normal(size=len(trips))
    before = encode(trips, rest)
    changed = rest.copy()
    changed[7] += 100
    moved = encode(trips, changed)
    assert np.array_equal(before[7], moved[7])
    assert not np.array_equal(before, moved)


def test_encoding_shows_places_that_are_slow(trips: Trips) -> None:
    is_slow = trips.from_lon > np.median(trips.from_lon)
    found = encode(trips, np.where(is_slow, 0.4, 0.0))
    assert found[is_slow, 2].mean() - found[~is_slow, 2].mean() > 0.25
    unknown = encode(trips, np.where(is_slow, 0.4, 0.0), replace(trips, from_lon=trips.from_lon + 1))
    assert unknown[:, 0] == pytest.approx(0.4 * is_slow.mean())


@pytest.mark.parametrize("seed", range(3))
def test_level_follows_a_drift_and_ignores_noise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(60), 40)
    noise = 0.3 * rng.normal(size=len(day))
    assert level_of(day * DAY_S, noise) == (0.0, None)
    drift = np.cumsum(rng.normal(size=60)) * 0.01 + np.arange(60) * 0.004
    level, half_life = level_of(day * DAY_S, noise + (drift - drift.mean())[day])
    assert half_life is not None
    last = (drift - drift.mean())[-5:].mean()
    assert abs(level - last) < 0.6 * abs(last)
    assert level_of(day * DAY_S, np.zeros(len(day))) == (0.0, None), "no error to lower"
    assert level_of(day[:200] * DAY_S, noise[:200] + 9) == (0.0, None), "five days are too few"


def test_blend_prefers_the_better_member() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(300, 900, 4000)
    good, bad = truth + rng.normal(0, 30, 4000), truth + rng.normal(0, 200, 4000)
    weights = blend_weights([bad, good], truth)
    assert weights.sum() == pytest.approx(1)
    assert weights[1] >= 0.7


@pytest.mark.parametrize("level", [0.1, 0.9])
def test_shifted_edge_has_the_share_of_trips_below_it(level: float) -> None:
    rng = np.random.default_rng(0)
    edge = rng.uniform(300, 900, 2000)
    truth = edge * np.exp(rng.normal(0.2, 0.3, 2000))
    shift = shift_of(truth[:1000], edge[:1000], level)
    assert (truth[1000:] < edge[1000:] * np.exp(shift)).mean() == pytest.approx(level, abs=0.04)
