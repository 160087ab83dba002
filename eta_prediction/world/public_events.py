"""Public events at fixed venues. Their calendar is public: a service may read it.

An event ends in the evening, on local clocks. For a while after its end, pick-ups near the venue take longer and more
riders start there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.config import EventConfig, WorldConfig
from eta_prediction.domain import Array, Bools, Ints, RoadGraph, hour_of_week
from infra.columns import HOUR_S
from infra.routing.snap import great_circle_m
from infra.simulation.streams import start_ts, stream

FIRST_END_H, LAST_END_H, LENGTH_H = 20.5, 22.5, 2.5


@dataclass(frozen=True)
class PublicEvents:
    """`event_id` and `node` int64[n]; `begin_ts` and `end_ts` float64[n]."""

    event_id: Ints
    node: Ints
    begin_ts: Array
    end_ts: Array

    def __len__(self) -> int:
        return len(self.node)


def draw_events(config: WorldConfig, graph: RoadGraph, day: int) -> PublicEvents:
    """The events of one day."""
    rng, venue = stream(config.seed, "events", day), venues(config, graph)
    held = np.flatnonzero(rng.random(len(venue)) < config.events.share)
    midnight = start_ts(config, day)
    local_h = hour_of_week(np.array([midnight]), config.time_zone)[0] % 24
    ends = midnight + (rng.uniform(FIRST_END_H, LAST_END_H, len(venue))[held] - local_h) * HOUR_S
    return PublicEvents(day * len(venue) + held, venue[held], ends - LENGTH_H * HOUR_S, ends)


def venues(config: WorldConfig, graph: RoadGraph) -> Ints:
    """int64[venues]: the nodes of the venues, between the centre and the outskirts."""
    rng = stream(config.seed, "venues")
    away = np.hypot(graph.lon - np.median(graph.lon), graph.lat - np.median(graph.lat)) / np.ptp(graph.lat)
    among = np.flatnonzero((away > 0.1) & (away < 0.35) & (graph.road[graph.out_edge] == 0))
    return rng.choice(among, config.events.venues, replace=False)


def is_after(config: EventConfig, graph: RoadGraph, events: PublicEvents, node: Ints, at_ts: Array) -> Bools:
    """bool[n]: trips that start near an event within `lasts_min` of its end."""
    found = np.zeros(len(node), bool)
    for where, end in zip(events.node.tolist(), events.end_ts.tolist(), strict=True):
        soon = np.flatnonzero((at_ts >= end) & (at_ts < end + 60 * config.lasts_min))
        here = (np.full(len(soon), value[where]) for value in (graph.lon, graph.lat))
        away = great_circle_m(graph.lon[node[soon]], graph.lat[node[soon]], *here)
        found[soon] |= away < config.near_m
    return found


def draw_riders(
    config: WorldConfig, graph: RoadGraph, events: PublicEvents, rng: np.random.Generator
) -> tuple[Array, Ints]:
    """(request times float64[n], origins int64[n]) of the riders that leave the events."""
    count = rng.poisson(config.events.riders, len(events))
    at_ts = np.repeat(events.end_ts, count) + 60 * config.events.lasts_min * rng.beta(1.2, 2.5, count.sum())
    nodes = [_near(config.events, graph, int(where)) for where in events.node]
    origin = [rng.choice(near, n) for near, n in zip(nodes, count.tolist(), strict=True)]
    return at_ts, np.concatenate([*origin, np.zeros(0, np.int64)]).astype(np.int64)


def _near(config: EventConfig, graph: RoadGraph, where: int) -> Ints:
    here = (np.full(graph.nodes, value[where]) for value in (graph.lon, graph.lat))
    return np.flatnonzero(great_circle_m(graph.lon, graph.lat, *here) < config.near_m)
