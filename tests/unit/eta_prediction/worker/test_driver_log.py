"""Drivers' rows contain each trip once, in any order of quotes and ends, and equal those of the build."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eta_prediction.config import FeatureConfig
from eta_prediction.events.codec import INPUTS, inputs_of, pack
from eta_prediction.events.live_history import ended_trips
from eta_prediction.events.rows import trip_event_rows
from eta_prediction.events.schemas import Quote, Trip
from eta_prediction.features.driver_row import FinishedTrips, driver_rows
from eta_prediction.features.route_inputs import RouteInputs
from eta_prediction.features.route_time import RouteTime
from eta_prediction.model.inputs import NAMES
from eta_prediction.worker import driver_log
from eta_prediction.worker.driver_log import Arrival, DriverLog, read_finished
from tests.support.eta_events import START, quote, trip

CONFIG = FeatureConfig()
ROUTE_TIME = RouteTime(np.array([1.0, 0, 0, 0, 0, 0, 100.0, 60.0]))
"""a trip takes its live time, 60 s, and 100 s more if it is pooled"""
HISTORY = FinishedTrips(
    np.array([3, 4, 3]), START - np.array([9000.0, 8000.0, 90_000.0]), np.array([0.1, 0.2, -0.1]), np.full(3, 0.3)
)


def fresh() -> DriverLog:
    return DriverLog(ROUTE_TIME, HISTORY)


def apply(log: DriverLog, events: list[Quote | Trip]) -> list[Arrival]:
    found = log.add_quotes([event for event in events if isinstance(event, Quote)])
    trips = [event for event in events if isinstance(event, Trip)]
    return found + (log.add_ends(ended_trips(trip_event_rows(trips))) if trips else [])


def rows_of(log: DriverLog, at_ts: float = START + 9000) -> list[dict[str, Any]]:
    return [dict(row) for _, row in log.rows(CONFIG, at_ts, np.array([3, 4])).iterrows()]


EVENTS = [quote(n) for n in range(4)] + [
    trip(n, at_ts=START + 600 + 50 * n, served_driver_id=3 + n % 2) for n in range(4)
]


@given(st.permutations(EVENTS), st.integers(1, 8))
def test_each_trip_counts_once_in_any_order(events: list[Quote | Trip], size: int) -> None:
    log, arrivals = fresh(), 0
    for begin in range(0, len(events), size):
        arrivals += len(apply(log, events[begin : begin + size]))
        apply(log, events[begin : begin + size])
    whole = fresh()
    apply(whole, list(EVENTS))
    assert arrivals == 4
    for one, other in zip(rows_of(log), rows_of(whole), strict=True):
        assert one["trips"] == other["trips"]
        assert one["habit"] == pytest.approx(other["habit"], abs=1e-6)


def test_rows_equal_those_of_the_build_for_the_same_trips() -> None:
    log = fresh()
    (arrival,) = apply(log, [quote(7), trip(7, at_ts=START + 900)])
    x_kerb = arrival.expected.kerbs_s - 60.0
    noise = arrival.expected.noise_s
    surplus = 900 - 600 - 60 - x_kerb
    one = FinishedTrips.of(np.array([3]), *(np.array([value]) for value in (START + 902, surplus, noise, 600.0)))
    wanted = driver_rows(
        FinishedTrips.joined([HISTORY, one]), CONFIG.driver_window_days, np.array([3, 4]), np.full(2, START + 1000)
    ).to_pylist()
    for found, row in zip(rows_of(log, START + 1000), wanted, strict=True):
        assert {name: found[name] for name in ("driver_id", "habit", "trips", "lateness")} == {
            name: value for name, value in row.items() if name != "feature_ts"
        }
    assert rows_of(log, START + 1000)[0]["trips"] == 3


def test_trip_counts_for_the_driver_that_served_it_and_not_before_it_is_received() -> None:
    log = fresh()
    apply(log, [quote(1, driver_id=3), trip(1, driver_id=3, served_driver_id=4, received_ts=START + 900.5)])
    assert log.due(START + 900).tolist() == []
    assert log.due(START + 901).tolist() == [4]
    assert [row["trips"] for row in rows_of(log, START + 900)] == [2, 1]
    assert [row["trips"] for row in rows_of(log, START + 901)] == [2, 2]


def test_pushed_drivers_are_due_again_only_with_newer_trips() -> None:
    log = fresh()
    apply(log, [quote(1), trip(1, at_ts=START + 100), quote(2), trip(2, at_ts=START + 500)])
    assert log.due(START + 200).tolist() == [3]
    log.pushed(np.array([3]), START + 200)
    assert log.has_new
    assert log.due(START + 300).tolist() == []
    log.pushed(log.due(START + 600), START + 600)
    assert not log.has_new


def test_cancelled_trips_and_quotes_without_a_route_say_nothing_about_drivers() -> None:
    log = fresh()
    empty = pack(np.zeros(0), INPUTS)
    assert not apply(log, [quote(1), trip(1, "cancelled", START), trip(1), quote(2, x=empty), trip(2)])
    assert not apply(log, [quote(3), trip(3, "picked_up", START + 90)])
    assert len(apply(log, [quote(4), trip(4, served_driver_id=-1)])) == 1, "a trip without a driver still has an error"
    assert not log.has_new


def test_waiting_quotes_and_ends_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_log, "MOST_WAITING", 2)
    log = fresh()
    apply(log, [quote(n) for n in range(5)])
    log.forget_oldest()
    assert len(apply(log, [trip(n) for n in range(5)])) == 2


def test_history_is_read_from_the_files_of_trips(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    route: dict[str, Any] = {f"route.{item.name}": rng.uniform(1, 2, 3) for item in fields(RouteInputs)}
    route["route.live_s"] = np.array([600.0, 900.0, 300.0])
    seconds, kerb = np.array([800.0, 1000.0, 500.0]), np.array([10.0, 20.0, 30.0])
    (tmp_path / "trips").mkdir()
    columns: dict[str, Any] = {"ride_type": np.array([0, 1, 0]), "served_driver_id": np.array([5, 6, 5])}
    columns |= {"seconds": seconds, "departure_ts": np.full(3, START), "pick_up_s": kerb, "drop_off_s": 2 * kerb}
    np.savez(tmp_path / "trips" / "0.npz", **route, **columns)
    found = read_finished(tmp_path, ROUTE_TIME)
    assert found.driver_id.tolist() == [5, 6, 5]
    assert found.arrival_ts.tolist() == (START + seconds).tolist()
    surplus = seconds - np.array([600.0, 900.0, 300.0]) - np.array([60.0, 160.0, 60.0]) - 3 * kerb
    np.testing.assert_allclose(found.residual, np.clip(surplus / np.array([600.0, 900.0, 300.0]), -0.5, 0.5))
    assert len(read_finished(tmp_path / "nothing", ROUTE_TIME).driver_id) == 0


def test_arrival_names_the_slice_of_its_quote() -> None:
    x = inputs_of(quote().x).copy()
    for name, value in (("traffic", 0.9), ("rain", 0.0)):
        x[0, NAMES.index(name)] = value
    (arrival,) = apply(fresh(), [quote(7, x=pack(x, INPUTS), ride_type=2, traffic="static"), trip(7)])
    one = arrival.expected
    assert (one.ride_type, one.traffic, one.is_busy, one.is_rainy) == (2, "static", True, False)
