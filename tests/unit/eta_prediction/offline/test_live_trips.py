"""A live trip teaches once, with the inputs that were served, and only if its label is known and unbiased."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eta_prediction.config import SMOKE
from eta_prediction.domain import CELLS
from eta_prediction.events.codec import INPUTS, inputs_of, pack
from eta_prediction.events.live_history import distinct
from eta_prediction.events.rows import trip_event_rows
from eta_prediction.events.schemas import Quote, Trip
from eta_prediction.features.places import Places
from eta_prediction.features.route_time import RouteTime
from eta_prediction.model.inputs import column
from eta_prediction.offline.live_trips import LiveTrips, complete, finished_live, live_trips, with_live_trips
from eta_prediction.offline.samples import fresh_trips, sample_of_live
from tests.support.eta_events import START, quote, trip
from tests.support.eta_roads import GRAPH

DIGEST = "this build"
ROUTE_TIME = RouteTime(np.array([1.0, 0, 0, 0, 0, 0, 100.0, 60.0]))
"""a trip takes its live time, 60 s, and 100 s more if it is pooled"""


def served(number: int = 1, **changes: Any) -> Quote:
    return quote(number, **{"inputs_digest": DIGEST} | changes)


def found(events: Sequence[Trip], quotes: Sequence[Quote], until_ts: float = START + 9000) -> LiveTrips:
    table = trip_event_rows(events)
    ends = sum(event.status != "picked_up" for event in events)
    return live_trips(distinct(table), {one.quote_id: one for one in quotes}, DIGEST, until_ts, ends)


def test_an_arrived_trip_teaches_with_the_inputs_that_were_served() -> None:
    one = served(departure_ts=START + 30, policy="explore_v1")
    trips = found([trip(status="picked_up", at_ts=START + 90), trip(served_driver_id=8)], [one])
    assert trips.seconds.tolist() == [770.0], "from the departure"
    assert trips.known_ts.tolist() == [START + 802]
    assert (trips.driver_id.tolist(), trips.served_driver_id.tolist()) == ([3], [8])
    assert trips.is_sound.all()
    assert trips.is_complete.all()
    assert trips.skipped == {}
    sample = sample_of_live(SMOKE, trips)
    np.testing.assert_array_equal(sample.x, inputs_of(one.x))
    assert sample.base_s.tolist() == [600.0]
    assert sample.is_explore.all()


@pytest.mark.parametrize(
    ("events", "quotes", "reason"),
    [
        ([trip(status="cancelled")], [served()], "cancelled"),
        ([trip(status="picked_up")], [served()], "not_arrived"),
        ([trip()], [], "no_quote"),
        ([trip()], [served(x=pack(np.zeros(0), INPUTS))], "no_route"),
        ([trip()], [served(departure_ts=START + 900)], "no_time"),
        ([trip()], [served(degraded=["feature_store_unavailable"])], "degraded"),
        ([trip()], [served(traffic="static")], "no_traffic"),
        ([trip()], [served(inputs_digest="another build")], "other_inputs"),
        ([trip()], [quote()], "other_inputs"),
        ([trip(received_ts=START + 9001)], [served()], "not_known"),
        ([trip(), *(trip(n, "picked_up") for n in (2, 3))], [served()], "label_delay"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_trip_that_may_not_teach_is_counted_by_reason(events: list[Trip], quotes: list[Quote], reason: str) -> None:
    trips = found(events, quotes)
    assert trips.skipped[reason] == 1
    assert len(sample_of_live(SMOKE, trips)) == 0
    nothing = Places.nothing()
    np.testing.assert_array_equal(
        with_live_trips(nothing, trips, GRAPH, ROUTE_TIME).origin_weight, nothing.origin_weight
    )


def test_a_repeated_or_second_end_counts_once() -> None:
    late = trip(status="cancelled", at_ts=START + 900)
    trips = found([trip(), trip(), late], [served()])
    assert len(trips) == 1
    assert trips.skipped == {"repeated": 2}


def test_half_hours_count_when_nearly_all_trips_have_ended() -> None:
    request_ts = START + np.r_[np.arange(38.0), 1800 + np.arange(38.0)]
    arrived = np.ones(76, bool)
    on_the_way = START + np.array([5.0, 6.0, 1805.0, 1806.0, 1807.0])
    assert complete(request_ts, arrived, on_the_way).tolist() == [True] * 38 + [False] * 38
    arrived[0] = False
    assert not complete(request_ts, arrived, on_the_way).any(), "a cancelled trip has no time and fills no half hour"


def test_the_knob_for_arrived_trips_takes_short_ones_at_once() -> None:
    config = replace(SMOKE, sample=replace(SMOKE.sample, label_cut="arrived"))
    events = [trip(1), trip(2, at_ts=START + 1801), trip(3, "picked_up")]
    trips = found(events, [served(1, departure_ts=START + 1), served(2, departure_ts=START + 1)])
    assert trips.skipped == {"not_arrived": 1, "label_delay": 2}
    assert sample_of_live(config, trips).trip_id.tolist() == [1]


def test_explored_trips_are_kept_for_the_gate_and_without_them_the_same_tenth_of_all() -> None:
    events = [trip(n) for n in range(1, 41)]
    explored = [served(n, policy="explore_v1" if n % 4 == 0 else "eta_v1") for n in range(1, 41)]
    trips = found(events, explored)
    assert sorted(trips.trip_id[fresh_trips(trips)].tolist()) == list(range(4, 41, 4))
    usual = found(events, [served(n) for n in range(1, 41)])
    assert sorted(usual.trip_id[fresh_trips(usual)].tolist()) == [10, 20, 30, 40]
    few = found(events[:15], [served(n) for n in range(1, 16)])
    assert few.trip_id[fresh_trips(few)].tolist() == [10], "a trip does not move to the trained ones as the log grows"


def test_places_learn_from_the_surplus_of_their_trips_and_drivers_from_that_beyond_the_places() -> None:
    events = [trip(n, at_ts=START + 860) for n in range(1, 21)]
    trips = found(events, [served(n) for n in range(1, 21)])
    places = with_live_trips(Places.nothing(), trips, GRAPH, ROUTE_TIME)
    origin, destination = GRAPH.cell[[1, 9]]
    assert 100 < places.pick_up_s[origin] < 200, "200 s longer than route and kerbs"
    assert 100 < places.drop_off_s[destination] < 200
    assert np.delete(places.pick_up_s, origin).tolist() == [0.0] * (CELLS**2 - 1)
    finished, x = finished_live(trips, ROUTE_TIME), inputs_of(served().x)
    kerbs_s = sum(column(x, name)[0] for name in ("pick_up_s", "drop_off_s"))
    np.testing.assert_allclose(finished.residual, (200 - kerbs_s) / 600)
    assert finished.driver_id.tolist() == [3] * 20
    np.testing.assert_array_equal(finished.arrival_ts, trips.known_ts)
    nobody = found([trip(served_driver_id=-1)], [served()])
    assert len(finished_live(nobody, ROUTE_TIME).driver_id) == 0
