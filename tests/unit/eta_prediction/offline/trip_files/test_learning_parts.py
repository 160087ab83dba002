"""The parts of the learning: split, level, corrected route, encodings, blend and calibration, on planted truths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eta_prediction.offline.trip_files.inputs import correct, encode
from eta_prediction.offline.trip_files.learn import blend_weights, shift_of
from eta_prediction.offline.trip_files.level import level_of
from eta_prediction.offline.trip_files.measure import pinball
from eta_prediction.offline.trip_files.route import great_circles, routed
from eta_prediction.offline.trip_files.split import split
from eta_prediction.offline.trip_files.tally import Tally
from eta_prediction.offline.trip_files.trips import Trips, read_trips
from infra.build.trip_files import TripFiles
from infra.columns import DAY_S
from infra.errors import UsageError
from tests.support.trip_files import LAT, LON, METRE_LAT, METRE_LON, grid, taxi_lines, write


def quiet(share: float, text: str) -> None:
    assert 0 <= share <= 1


@pytest.fixture
def trips(tmp_path: Path) -> Trips:
    path = write(tmp_path / "trips.csv", taxi_lines(3000))
    return read_trips(TripFiles.of(f"taxi:{path}"), quiet, Tally())


def test_time_split_tests_the_latest_fifth(trips: Trips) -> None:
    mixed = trips.take(np.random.default_rng(0).permutation(len(trips)))
    parts = split(mixed, "time")
    assert len(parts.test) == 600
    assert mixed.at_s[parts.early].max() <= mixed.at_s[parts.late].min()
    assert mixed.at_s[parts.late].max() <= mixed.at_s[parts.test].min()
    assert sorted([*parts.train, *parts.test]) == list(range(3000))


def test_row_split_follows_the_line_numbers_alone(trips: Trips) -> None:
    parts = split(trips, "rows")
    fewer = trips.take(np.arange(0, 3000, 3))
    again = split(fewer, "rows")
    assert set(fewer.line[again.test]) == set(trips.line[parts.test]) & set(fewer.line)
    assert abs(len(parts.test) / 3000 - 0.2) < 0.03
    assert abs(len(parts.late) / len(parts.train) - 0.15) < 0.03
    assert sorted([*parts.train, *parts.test]) == list(range(3000))


def test_routes_of_trips_are_those_of_the_map(trips: Trips) -> None:
    tally = Tally()
    found, sums, facts = routed(trips, grid(), quiet, tally)
    assert len(found) == 3000
    assert tally.bad == 0
    blocks = (
        np.abs(trips.to_lon - trips.from_lon) / METRE_LON + np.abs(trips.to_lat - trips.from_lat) / METRE_LAT
    ) / 400
    np.testing.assert_allclose(sums.length_m, np.rint(blocks) * 400, rtol=1e-6)
    np.testing.assert_allclose(sums.free_s, np.rint(blocks) * 40, rtol=1e-6)
    assert facts["routed_pairs"] <= 144 * 143
    assert (sums.turns <= np.rint(blocks)).all()


def test_trips_outside_the_map_are_counted(trips: Trips) -> None:
    inside = np.ones(len(trips), bool)
    for lon, lat in ((trips.from_lon, trips.from_lat), (trips.to_lon, trips.to_lat)):
        column, row = np.rint((lon - LON) / METRE_LON / 400), np.rint((lat - LAT) / METRE_LAT / 400)
        inside &= np.hypot(np.maximum(column - 5, 0), np.maximum(row - 5, 0)) * 400 < 500
    tally = Tally()
    found, _, _ = routed(trips, grid(6), quiet, tally)
    assert set(found.line) == set(trips.line[inside])
    assert tally.refused["outside the map"].count == (~inside).sum() > 0
    far = replace(trips, from_lat=trips.from_lat + 1, to_lat=trips.to_lat + 1)
    with pytest.raises(UsageError, match="3,000 of 3,000 trips are outside the map") as caught:
        routed(far, grid(6), quiet, Tally())
    assert "latitudes 50.000 to 50.018; the median trip begins at longitude 10.0" in caught.value.hint
    swapped = replace(trips, from_lon=trips.from_lat, from_lat=trips.from_lon, to_lon=trips.to_lat, to_lat=trips.to_lon)
    with pytest.raises(UsageError, match="3,000 of 3,000") as caught:
        routed(swapped, grid(12), quiet, Tally())
    assert caught.value.hint.startswith("longitude and latitude of the trips are swapped")


def test_map_is_cut_to_the_trips_without_changing_routes(trips: Trips) -> None:
    few = trips.take((trips.from_lon < LON + 5 * 400 * METRE_LON) & (trips.to_lon < LON + 5 * 400 * METRE_LON))
    small, large = (routed(few, grid(side), quiet, Tally()) for side in (12, 90))
    assert large[2]["routed_nodes"] < 0.7 * 90 * 90
    np.testing.assert_allclose(small[1].length_m, large[1].length_m)


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


def test_distance_replaces_the_route_without_a_map(trips: Trips) -> None:
    sums = great_circles(trips)
    assert np.array_equal(sums.length_m, trips.line_m)
    assert sums.free_s == pytest.approx(trips.line_m / (25 / 3.6))


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


def test_pinball_loss_is_least_at_the_true_quantiles() -> None:
    truth = np.random.default_rng(0).exponential(100, 20_000)
    best = np.quantile(truth, (0.1, 0.5, 0.9))
    losses = [pinball(truth, np.tile(best * (1 + change), (len(truth), 1))).mean() for change in (-0.2, 0.0, 0.2)]
    assert losses[1] < min(losses[0], losses[2])
