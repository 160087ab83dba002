"""A tiny map, a hand-made profile and routes on them, for tests of features."""

from __future__ import annotations

import numpy as np

from eta_prediction.config import CityConfig
from eta_prediction.domain import GROUPS, Array, Ints, RoadGraph
from eta_prediction.features.forecast import HORIZONS_MIN
from eta_prediction.features.incidents import KnownIncidents
from eta_prediction.features.profile import SLOTS, Profile
from eta_prediction.features.route_inputs import Snapshots, Traffic
from eta_prediction.world.city import make_city
from infra.routing.routes import Routes

MONDAY = 1_767_571_200.0
"""5 January 2026, 00:00 UTC"""
GRAPH = make_city(CityConfig(side=24, bridges=2), 5)


def profile_of(seed: int = 0, graph: RoadGraph = GRAPH) -> Profile:
    rng = np.random.default_rng(seed)
    hour = np.arange(SLOTS) / 12 % 24
    usual = rng.uniform(0.1, 0.5, GROUPS)[:, None] * np.exp(-(((hour - 8) / 2) ** 2))
    return Profile(
        usual=usual,
        spread=0.1 + 0.3 * np.exp(-(((hour - 8) / 2) ** 2)),
        rain_effect=np.full(GROUPS, 0.1),
        offset=rng.normal(0, 0.05, graph.edges),
        probe_sd=0.3,
        time_zone="UTC",
    )


def walks(lengths: list[int], seed: int = 0, graph: RoadGraph = GRAPH) -> Routes:
    """Random walks of so many edges."""
    rng, paths = np.random.default_rng(seed), []
    leaving = [np.flatnonzero(graph.tail == node) for node in range(graph.nodes)]
    for length in lengths:
        path = [int(rng.integers(graph.edges))]
        while len(path) < length:
            path.append(int(rng.choice(leaving[graph.head[path[-1]]])))
        paths.append(np.array(path, np.int64))
    return Routes.of(paths)


def one_route(routes: Routes, trip: int) -> Routes:
    edges = routes.edges[routes.owner == trip]
    return Routes(edges, np.zeros(len(edges), np.int64), 1)


def traffic_of(departure_ts: Array, rain: Array, snapshots: int = 4, seed: int = 0) -> Traffic:
    """Random speeds, made once a minute before the last departure."""
    rng = np.random.default_rng(seed)
    made_ts = departure_ts.max() - 60.0 * np.arange(snapshots)[::-1]
    snapshot: Ints = np.clip(np.searchsorted(made_ts, departure_ts, "right") - 1, 0, None)
    forecast = rng.normal(0, 0.3, (snapshots, GROUPS, len(HORIZONS_MIN))).astype(np.float32)
    observed = rng.exponential(5, (snapshots, GROUPS)).astype(np.float32)
    return Traffic(Snapshots(forecast, observed, made_ts), snapshot, rain)


def no_incidents() -> KnownIncidents:
    return KnownIncidents(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), 1_800.0)
