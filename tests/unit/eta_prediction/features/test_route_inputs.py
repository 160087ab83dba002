"""Route inputs: many routes at once and one alone agree, and nothing of the future moves them."""

from __future__ import annotations

import time
from dataclasses import fields, replace

import numpy as np
import pytest

from eta_prediction.domain import MOTORWAY, Array
from eta_prediction.events.history import IncidentRows
from eta_prediction.features.incidents import KnownIncidents, mean_life_s
from eta_prediction.features.route_inputs import Roads, RouteInputs, Snapshots, Traffic, live_edge_seconds, route_inputs
from tests.support.eta_roads import GRAPH, MONDAY, no_incidents, one_route, profile_of, traffic_of, walks
from tests.support.tries import stays_below

PROFILE = profile_of()
ROADS = Roads(GRAPH, PROFILE, 60.0)
LENGTHS = [1, 5, 40, 80, 200, 3]
ROUTES = walks(LENGTHS)
DEPARTURE: Array = MONDAY + 8 * 3600 + np.sort(np.random.default_rng(1).uniform(0, 240, len(LENGTHS)))
RAIN = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 0.5])
TRAFFIC = traffic_of(DEPARTURE, RAIN)


def known(edge: int, reported_ts: float, cleared_ts: float = np.inf, life_s: float = 1_800.0) -> KnownIncidents:
    return KnownIncidents(np.array([edge]), np.array([reported_ts]), np.array([cleared_ts]), life_s)


def only(snapshot: int) -> Snapshots:
    """One snapshot of `TRAFFIC`."""
    return Snapshots(*(getattr(TRAFFIC.snapshots, item.name)[snapshot : snapshot + 1] for item in fields(Snapshots)))


def test_one_route_has_the_row_of_the_batch() -> None:
    middle = int(ROUTES.edges[np.flatnonzero(ROUTES.owner == 4)[100]])
    incidents = known(middle, float(DEPARTURE[0]) - 60)
    batch = route_inputs(ROADS, ROUTES, DEPARTURE, TRAFFIC, incidents)
    for trip in range(len(LENGTHS)):
        alone = Traffic(only(TRAFFIC.snapshot[trip]), np.zeros(1, np.int64), RAIN[trip : trip + 1])
        one = route_inputs(ROADS, one_route(ROUTES, trip), DEPARTURE[trip : trip + 1], alone, incidents)
        for item in fields(RouteInputs):
            expected = getattr(batch, item.name)[trip]
            assert getattr(one, item.name)[0] == pytest.approx(expected, rel=1e-9, abs=1e-9), item.name


def test_times_of_a_route_are_sums_over_its_edges_at_the_moments_of_arrival() -> None:
    trip = 3
    edges = ROUTES.edges[ROUTES.owner == trip]
    slot0 = int(PROFILE.slot(DEPARTURE[trip : trip + 1])[0])
    usual, live, lead = 0.0, 0.0, 0.0
    forecast = TRAFFIC.snapshots.forecast[TRAFFIC.snapshot[trip]]
    age = DEPARTURE[trip] - TRAFFIC.snapshots.made_ts[TRAFFIC.snapshot[trip]]
    middles = np.array([2.5, 7.5, 12.5, 17.5, 27.5, 37.5, 47.5, 57.5])
    for edge in edges.tolist():
        group, fixed = GRAPH.group[edge], PROFILE.offset[edge] + PROFILE.rain_effect[0] * RAIN[trip]
        slot = int(PROFILE.slot(DEPARTURE[trip : trip + 1])[0] + lead / 300)
        second = GRAPH.free_s[edge] * np.exp(PROFILE.usual[group, slot] + fixed)
        usual += second
        live += second * np.exp(np.interp((lead + age) / 60, middles, forecast[group]))
        lead += GRAPH.free_s[edge] * np.exp(PROFILE.usual[group, slot0] + fixed)
    found = route_inputs(ROADS, ROUTES, DEPARTURE, TRAFFIC, no_incidents())
    assert found.profile_s[trip] == pytest.approx(usual)
    assert found.live_s[trip] == pytest.approx(live, rel=1e-6)
    assert found.free_s[trip] == pytest.approx(GRAPH.free_s[edges].sum())
    assert found.motorway_share[trip] == pytest.approx(
        GRAPH.free_s[edges][GRAPH.road[edges] == MOTORWAY].sum() / GRAPH.free_s[edges].sum()
    )


def test_live_speeds_count_up_to_the_horizon_of_the_knob_only() -> None:
    never = route_inputs(replace(ROADS, live_horizon_min=0.0), ROUTES, DEPARTURE, TRAFFIC, no_incidents())
    some = route_inputs(replace(ROADS, live_horizon_min=5.0), ROUTES, DEPARTURE, TRAFFIC, no_incidents())
    always = route_inputs(ROADS, ROUTES, DEPARTURE, TRAFFIC, no_incidents())
    first = ROUTES.goes_on == False  # noqa: E712
    beyond_first = np.abs(never.live_s - never.profile_s)
    assert np.all(beyond_first <= 0.9 * GRAPH.free_s[ROUTES.edges[first]] * 3)
    assert some.live_s[4] != pytest.approx(always.live_s[4])
    np.testing.assert_allclose(some.profile_s, always.profile_s)


def test_incidents_count_if_they_are_reported_and_not_cleared_at_the_departure() -> None:
    trip = 3
    edge = int(ROUTES.edges[ROUTES.owner == trip][-1])
    now = float(DEPARTURE[trip])
    plain = route_inputs(ROADS, ROUTES, DEPARTURE, TRAFFIC, no_incidents())

    def found(reported_ts: float, cleared_ts: float = np.inf) -> RouteInputs:
        return route_inputs(ROADS, ROUTES, DEPARTURE, TRAFFIC, known(edge, reported_ts, cleared_ts))

    for future in (found(now + 1), found(now - 600, now - 1)):
        for item in fields(RouteInputs):
            assert getattr(future, item.name)[trip] == getattr(plain, item.name)[trip], item.name
    there = found(now - 600, now + 1)  # cleared one second after the departure, so not known at the departure
    same = found(now - 600)
    assert there.incidents[trip] >= 1
    assert there.incidents[trip] == same.incidents[trip]
    assert 0 < there.incidents_expected[trip] == same.incidents_expected[trip] < there.incidents[trip]


def test_incidents_on_the_same_edge_add_up() -> None:
    edge = int(ROUTES.edges[0])
    two = KnownIncidents(np.array([edge, edge]), np.full(2, MONDAY), np.full(2, np.inf), 1_800.0)
    assert route_inputs(ROADS, ROUTES, DEPARTURE, TRAFFIC, two).incidents[0] == 2


def test_the_mean_life_of_incidents_does_not_look_ahead_and_is_recovered() -> None:
    rng = np.random.default_rng(2)
    reported = np.sort(MONDAY + rng.uniform(0, 5 * 86_400, 2_000))
    cleared = reported + rng.exponential(2_100, 2_000)
    rows = IncidentRows(np.arange(2_000), np.zeros(2_000, np.int64), reported, reported, cleared)
    until = MONDAY + 3 * 86_400.0
    assert mean_life_s(rows, until) == pytest.approx(2_100, rel=0.1)
    changed = replace(rows, cleared_ts=np.where(cleared > until, np.inf, cleared))
    assert mean_life_s(changed, until) == mean_life_s(rows, until)


def test_all_edges_at_live_speeds_equal_the_first_moment_of_routes() -> None:
    at_ts, now = float(DEPARTURE[0]), TRAFFIC.snapshot[0]
    seconds = live_edge_seconds(ROADS, TRAFFIC.snapshots.forecast[now], at_ts, 0.0)
    found = route_inputs(ROADS, one_route(ROUTES, 0), DEPARTURE[:1], TRAFFIC, no_incidents())
    assert seconds[ROUTES.edges[0]] == pytest.approx(found.live_s[0], rel=0.2)


@pytest.mark.timing
def test_one_request_takes_well_below_a_millisecond() -> None:
    routes = one_route(ROUTES, 3)
    traffic = Traffic(only(0), np.zeros(1, np.int64), RAIN[:1])
    incidents = known(int(routes.edges[3]), MONDAY)

    def fast_ms() -> float:
        times = []
        for _ in range(200):
            began = time.perf_counter()
            route_inputs(ROADS, routes, DEPARTURE[:1], traffic, incidents)
            times.append((time.perf_counter() - began) * 1e3)
        return sorted(times)[20]

    stays_below(1.0, fast_ms, "milliseconds of one route's inputs")
