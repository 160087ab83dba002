"""Routes of the history: fastest paths under the weekly profile of traffic, as the old system drove them.

The profile is rounded to `LEVELS` values, so that a day needs that many metrics and not one per trip.
"""

from __future__ import annotations

import numpy as np

from eta_prediction.domain import Array, Ints, RoadGraph
from eta_prediction.world.traffic.process import Traffic
from infra.routing.port import RoutingEngine

LEVELS: Array = np.array([0.03, 0.2, 0.5, 0.95])


def level_of(profile: Array) -> Ints:
    found: Ints = np.abs(profile[:, None] - LEVELS).argmin(1)
    return found


def edge_seconds(graph: RoadGraph, traffic: Traffic, profile: float) -> Array:
    """float64[edges]: expected times in dry weather at one value of the profile."""
    here = np.full(graph.edges, profile)
    found: Array = graph.free_s * np.exp(traffic.expected(here, np.zeros(graph.edges), graph.group))
    return found


def find_routes(
    engine: RoutingEngine, graph: RoadGraph, traffic: Traffic, origin: Ints, destination: Ints, profile: Array
) -> list[Ints]:
    """The edges of each trip's route. The city is strongly connected, so each pair has one."""
    level, found = level_of(profile), [np.zeros(0, np.int64)] * len(origin)
    for number, value in enumerate(LEVELS):
        chosen = np.flatnonzero(level == number)
        if not len(chosen):
            continue
        engine.update(edge_seconds(graph, traffic, float(value)))
        paths = engine.paths(origin[chosen], destination[chosen])
        for trip, path in zip(chosen.tolist(), paths, strict=True):
            assert path is not None, "the city is strongly connected"
            found[trip] = path.edges
    return found
