"""Riders' requests of a day: when, from where, to where, which ride, and the driver who takes it.

Mornings lead to the centre, evenings out of it, and trips are mostly short. The airport has riders of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.config import WorldConfig
from eta_prediction.domain import AIRPORT, POOLED, STANDARD, Array, Ints, RoadGraph, hour_of_week
from eta_prediction.world.public_events import PublicEvents, draw_riders
from eta_prediction.world.traffic.rush import profile
from infra.columns import DAY_S
from infra.simulation.streams import start_ts, stream

AIRPORT_SHARE, POOLED_SHARE, NEAR_SHARE = 0.07, 0.25, 0.65
QUIET = 0.35
"""requests at night, when the profile is 0, relative to its peak of about 1"""
POOL = 24
"""candidates from which a rider's destination is drawn"""
REACH_KM = 3.5


@dataclass(frozen=True)
class Demand:
    """The requests in order of time: `at_ts` float64[n], the other arrays int64[n]."""

    at_ts: Array
    origin: Ints
    destination: Ints
    ride_type: Ints
    driver: Ints

    def __len__(self) -> int:
        return len(self.at_ts)


def draw_demand(config: WorldConfig, graph: RoadGraph, day: int, events: PublicEvents) -> Demand:
    """The requests of `day`, with the riders that leave its events."""
    rng = stream(config.seed, "demand", day)
    n = int(rng.poisson(config.trips_per_day))
    begin_ts = start_ts(config, day)
    slots = begin_ts + (np.arange(288) + 0.5) * DAY_S / 288
    weight = QUIET + profile(hour_of_week(slots, config.time_zone))
    at_ts = np.sort(begin_ts + (rng.choice(288, n, p=weight / weight.sum()) + rng.random(n)) * DAY_S / 288)
    hour = hour_of_week(at_ts, config.time_zone) % 24
    centre = _from_centre(graph)
    weights = {name: np.exp(-sign * centre) for name, sign in (("in", 1.4), ("out", -0.2), ("all", 0.6))}
    is_morning, is_evening = (hour > 5.5) & (hour < 11), (hour > 15.5) & (hour < 20.5)
    origin, destination = np.empty(n, np.int64), np.empty(n, np.int64)
    flows = ((is_morning, "out", "in"), (is_evening, "in", "out"), (~is_morning & ~is_evening, "all", "all"))
    for rows, here, there in flows:
        chosen = np.flatnonzero(rows)
        origin[chosen] = rng.choice(graph.nodes, len(chosen), p=weights[here] / weights[here].sum())
        destination[chosen] = _destination(graph, rng, origin[chosen], weights[there])
    is_airport, leaves = rng.random(n) < AIRPORT_SHARE, rng.random(n) < 0.5
    origin = np.where(is_airport & leaves, graph.airport, origin)
    destination = np.where(is_airport & ~leaves, graph.airport, destination)
    leave_ts, venue = draw_riders(config, graph, events, rng)
    at_ts, origin = np.r_[at_ts, leave_ts], np.r_[origin, venue]
    destination = np.r_[destination, _destination(graph, rng, venue, weights["out"])]
    order = np.argsort(at_ts, kind="stable")
    at_ts, origin, destination = at_ts[order], origin[order], destination[order]
    n = len(at_ts)
    destination = np.where(origin == destination, (destination + 1) % graph.nodes, destination)
    touches = (origin == graph.airport) | (destination == graph.airport)
    ride = np.where(touches, AIRPORT, np.where(rng.random(n) < POOLED_SHARE, POOLED, STANDARD))
    return Demand(at_ts, origin, destination, ride, rng.integers(0, config.drivers, n))


def _destination(graph: RoadGraph, rng: np.random.Generator, origin: Ints, weight: Array) -> Ints:
    """A node out of `POOL` candidates, most often one near the origin."""
    pool = rng.choice(graph.nodes, (len(origin), POOL), p=weight / weight.sum())
    east = np.cos(np.radians(graph.lat.mean()))
    away_km = 111.32 * np.hypot(
        (graph.lon[pool] - graph.lon[origin][:, None]) * east, graph.lat[pool] - graph.lat[origin][:, None]
    )
    is_near = rng.random(len(origin)) < NEAR_SHARE
    score = -away_km / REACH_KM * is_near[:, None] + rng.gumbel(size=away_km.shape)
    score[away_km < 0.8] = -np.inf
    found: Ints = pool[np.arange(len(origin)), score.argmax(1)]
    return found


def _from_centre(graph: RoadGraph) -> Array:
    """float64[nodes]: distance from the centre, 1 at half the width of the city."""
    lon, lat = graph.lon - np.median(graph.lon), graph.lat - np.median(graph.lat)
    half = np.ptp(graph.lat) / 2
    found: Array = np.hypot(lon * np.cos(np.radians(graph.lat.mean())), lat) / half
    return found
