"""Places and drivers recover planted effects from finished trips, and know no trip that has not arrived."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eta_prediction.domain import CELLS
from eta_prediction.events.history import EventRows
from eta_prediction.features.driver_row import FinishedTrips, driver_rows, snapshot_pairs
from eta_prediction.features.places import Places, event_inputs
from infra.columns import DAY_S, seconds
from tests.support.eta_roads import GRAPH, MONDAY


def test_place_estimates_separate_the_origin_from_the_destination() -> None:
    rng, cells = np.random.default_rng(0), CELLS**2
    pick_up, drop_off = rng.normal(0, 40, cells), rng.normal(0, 25, cells)
    places = Places.nothing()
    for _ in range(12):
        n = 20_000
        origin, destination = rng.integers(0, cells, n), rng.integers(0, cells, n)
        noise = rng.uniform(80, 200, n)
        surplus = pick_up[origin] + drop_off[destination] + noise * rng.normal(size=n)
        places = places.with_trips(origin, destination, surplus, noise)
    assert np.corrcoef(places.pick_up_s, pick_up)[0, 1] > 0.95
    assert np.corrcoef(places.drop_off_s, drop_off)[0, 1] > 0.9
    assert np.std(places.pick_up_s - pick_up) < 10


def test_a_cell_without_trips_has_no_surplus_and_one_trip_says_little() -> None:
    one = np.array([3])
    places = Places.nothing().with_trips(one, np.array([4]), np.array([300.0]), np.array([150.0]))
    assert 0 < places.pick_up_s[3] < 30
    assert np.count_nonzero(places.pick_up_s) == 1


def test_an_event_counts_near_its_venue_for_a_while_after_its_end() -> None:
    events = EventRows(np.array([10]), np.array([MONDAY]), np.array([MONDAY + 7200.0]))
    away = np.hypot(GRAPH.lon - GRAPH.lon[10], GRAPH.lat - GRAPH.lat[10])
    node = np.array([10, 10, 10, int(away.argmax())])
    at_ts = MONDAY + 7200.0 + np.array([-1.0, 600.0, 4000.0, 600.0])
    near, minutes = event_inputs(GRAPH, events, node, at_ts)
    np.testing.assert_allclose(near, [0, 1, 0, 0])
    np.testing.assert_allclose(minutes, [-1, 10, -1, -1])
    alone = [event_inputs(GRAPH, events, node[[n]], at_ts[[n]]) for n in range(4)]
    np.testing.assert_array_equal(np.array(alone)[:, :, 0].T, [near, minutes])


TRIPS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 60), st.sampled_from([-0.2, 0.0, 0.1, 0.3])), min_size=1, max_size=30
)


def finished(trips: list[tuple[int, int, float]]) -> FinishedTrips:
    driver, hour, residual = (np.array(values) for values in zip(*trips, strict=True))
    return FinishedTrips(driver, MONDAY + 3600.0 * hour, residual.astype(float), np.full(len(trips), 0.2))


@given(TRIPS, st.integers(0, 4), st.integers(-2, 80))
@settings(max_examples=100, deadline=None)
def test_a_driver_row_equals_a_recount_of_the_trips_that_have_arrived(
    trips: list[tuple[int, int, float]], driver: int, hour: int
) -> None:
    row = driver_rows(finished(trips), 1.5, np.array([driver]), np.array([MONDAY + 3600.0 * hour])).to_pylist()[0]
    mine = [one for one in trips if one[0] == driver and one[1] <= hour]
    window = [one for one in mine if one[1] >= hour - 36]
    day = [one for one in mine if one[1] >= hour - 24]
    assert row["trips"] == len(window)
    weight = 1 / 0.2**2
    habit = weight * sum(one[2] for one in window) / (weight * len(window) + 1 / 0.06**2)
    lateness = weight * sum(one[2] for one in day) / (weight * len(day) + 1 / 0.1**2)
    assert row["habit"] == pytest.approx(habit, abs=1e-6)
    assert row["lateness"] == pytest.approx(lateness, abs=1e-6)


def test_habits_of_drivers_are_recovered_and_shrunk() -> None:
    rng = np.random.default_rng(4)
    habit, n = 0.05 * rng.normal(size=100), 8_000
    driver = rng.integers(0, 100, n)
    trips = FinishedTrips(
        driver, MONDAY + rng.uniform(0, 5 * DAY_S, n), habit[driver] + 0.2 * rng.normal(size=n), np.full(n, 0.2)
    )
    found = driver_rows(trips, 28, np.arange(100), np.full(100, MONDAY + 5 * DAY_S))["habit"].to_numpy()
    assert np.corrcoef(found, habit)[0, 1] > 0.85
    assert found.std() < habit.std() * 1.1


def test_snapshots_come_after_the_trips_that_they_count_and_everyone_has_a_last_one() -> None:
    trips = finished([(1, 3, 0.1), (1, 4, 0.1), (2, 30, 0.1), (3, 70, 0.0)])
    until = MONDAY + 60 * 3600.0
    driver, at_ts = snapshot_pairs(trips, 6 * 3600.0, until)
    hours = sorted(zip(driver.tolist(), ((at_ts - MONDAY) / 3600).tolist(), strict=True))
    assert hours == [(1, 6.0), (1, 60.0), (2, 30.0), (2, 60.0)]


def test_the_time_of_a_row_is_the_time_of_its_snapshot() -> None:
    table = driver_rows(finished([(1, 3, 0.1)]), 28, np.array([1]), np.array([MONDAY + 1.5]))
    assert seconds(table["feature_ts"].to_numpy())[0] == MONDAY + 1.5
