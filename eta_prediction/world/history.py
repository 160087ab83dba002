"""The trips of a day with their times, and the probes that they leave behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import GROUPS, Array, Bools, Ints, hour_of_week
from eta_prediction.world.demand import Demand
from eta_prediction.world.law.segments import Segments, segments
from eta_prediction.world.law.trip_law import Trips, draw_overheads, noise_of, served_factor, turn_time
from eta_prediction.world.traffic.city_state import CityState
from eta_prediction.world.traffic.incidents import Incidents
from eta_prediction.world.traffic.rush import profile
from eta_prediction.world.truth import World
from infra.routing.routes import Routes
from infra.simulation.streams import start_ts


@dataclass(frozen=True)
class Planned:
    """The trips of a day before their times are drawn.

    `step` int64[m] is the traffic step in which a trip reaches each edge at the nominal pace, and `reach_ts` float64[m]
    that time; `expected_s` float64[m] is the edge's time without congestion, road works included.
    """

    demand: Demand
    routes: Routes
    km: Array
    step: Ints
    reach_ts: Array
    expected_s: Array
    parts: Segments
    trips: Trips


def plan(world: World, state: CityState, demand: Demand, routes: Routes, is_event: Bools) -> Planned:
    """`is_event` bool[trips]: the pick-up is near an event that has just ended."""
    config, graph = world.config, world.graph
    edges, group = routes.edges, graph.group[routes.edges]
    departs = np.floor((demand.at_ts - start_ts(config)) / config.traffic.step_s).astype(np.int64)
    here = state.at(departs)
    at_departure = world.traffic.expected(state.profile[here][routes.owner], state.rain[here][routes.owner], group)
    reach_ts = demand.at_ts[routes.owner] + routes.before(graph.free_s[edges] * np.exp(at_departure))
    step = np.floor((reach_ts - start_ts(config)) / config.traffic.step_s).astype(np.int64)
    then = state.at(step)
    usual = np.exp(world.traffic.expected(state.profile[then], state.rain[then], group))
    expected_s = graph.free_s[edges] * usual * world.works[edges]
    km = routes.total(graph.length_m[edges]) / 1000
    of_week, rain = profile(hour_of_week(demand.at_ts, config.time_zone)), state.rain[here]
    turned, signals = (routes.total(there.astype(float)) for there in (graph.turns(routes), graph.signals(routes)))
    is_airport = demand.origin == graph.airport
    trips = Trips(
        log_pick_up=world.places.log_pick_up(demand.origin, of_week * ~is_airport, is_event.astype(float)),
        log_drop_off=world.places.log_drop_off(demand.destination, of_week),
        turns_s=turn_time(config.trips, turned, signals, of_week),
        sd=noise_of(config.trips, km, of_week, rain),
        habit=world.habit[demand.driver],
        ride_type=demand.ride_type,
    )
    return Planned(demand, routes, km, step, reach_ts, expected_s, segments(routes, group, step, expected_s), trips)


def driving_s(state: CityState, parts: Segments, trips: int) -> Array:
    """float64[trips]: Σ a_j e^(A z_j)."""
    then = state.at(parts.step)
    seconds = parts.seconds * np.exp(state.swing[then] * state.z[then, parts.group])
    return np.bincount(parts.owner, seconds, trips).astype(np.float64)


def queues_s(incidents: Incidents, planned: Planned) -> Array:
    """float64[trips]: the queues of incidents that are there when the trip reaches their edge."""
    routes, found = planned.routes, np.zeros(planned.routes.trips)
    order = np.argsort(routes.edges, kind="stable")
    first, last = (np.searchsorted(routes.edges[order], incidents.edge, side) for side in ("left", "right"))
    for number, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        rows = order[low:high]
        reach = planned.reach_ts[rows]
        there = rows[(reach >= incidents.begin_ts[number]) & (reach < incidents.end_ts[number])]
        np.add.at(found, routes.owner[there], incidents.queue_s[number])
    return found


def draw_times(world: World, state: CityState, planned: Planned, served: Ints, rng: np.random.Generator) -> Array:
    """float64[trips]: the time of each trip in seconds. `served` int64[trips] are the drivers that serve the trips."""
    trips, config = planned.trips, world.config.trips
    on_road = driving_s(state, planned.parts, len(trips)) + trips.turns_s + queues_s(state.incidents, planned)
    factor = served_factor(config, trips, world.habit[served], rng)
    found: Array = draw_overheads(config, trips, rng)[0] + factor * on_road
    return found


def draw_served(world: World, driver: Ints, rng: np.random.Generator) -> Ints:
    """int64[trips]: the drivers that serve the trips. Most are those that were assigned."""
    is_other = rng.random(len(driver)) < world.config.trips.reassigned_share
    return np.where(is_other, rng.integers(0, world.config.drivers, len(driver)), driver)


def draw_traversals(world: World, state: CityState, planned: Planned, rng: np.random.Generator) -> Array:
    """float64[m]: the seconds that each edge of the routes takes a vehicle, e^(A z + noise) times its expected time."""
    then, group = state.at(planned.step), world.graph.group[planned.routes.edges]
    noise = world.traffic.config.probe_noise * rng.normal(size=len(then))
    found: Array = planned.expected_s * np.exp(state.swing[then] * state.z[then, group] + noise)
    return found


def probes(world: World, state: CityState, planned: Planned, seconds: Array, kept: Bools) -> tuple[Array, Array]:
    """(mean log pace without C and W, number of traversals) float64[steps, groups] of the traversals in `kept`."""
    steps = len(state.profile)
    cell = (state.at(planned.step) * GROUPS + world.graph.group[planned.routes.edges])[kept]
    residual = np.log(seconds / planned.expected_s)[kept]
    count, total = (np.bincount(cell, value, steps * GROUPS).reshape(steps, GROUPS) for value in (None, residual))
    return total / np.maximum(count, 1), count.astype(float)
