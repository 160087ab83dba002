"""How many trips of the holdout would take another way at live speeds: serving routes so, and the history did not.

Drivers of the history followed the fastest paths of the usual traffic. A model is trained on the paths that were
driven, and quotes times of paths that are fastest now. The step `sample` logs how much these differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eta_prediction.config import EtaConfig
from eta_prediction.events.history import read_graph, read_traversals, read_weather
from eta_prediction.features.probes import STEP_S, step_of
from eta_prediction.features.profile import Profile
from eta_prediction.features.route_inputs import Roads, live_edge_seconds
from eta_prediction.features.speeds import SpeedHistory
from eta_prediction.offline.feature_tables import PROFILE
from infra.columns import HOUR_S
from infra.routing.choose import find_order, open_engine
from infra.simulation.streams import start_ts

HOURS = (0, 4, 7, 10, 13, 16, 17, 20)
"""hours (UTC) of the last day at which trips are routed again"""
AT_ONCE = 40
"""most trips per hour"""


@dataclass(frozen=True)
class Rerouted:
    """`trips` that were routed again, the `share` that would leave the driven path, and the mean share of its time that
    they would save (`saved`), both at the speeds of the departure."""

    trips: int
    share: float
    saved: float


def reroute(world: Path, features: Path, config: EtaConfig) -> Rerouted:
    """`world` and `features` are the outputs of those steps."""
    day = config.world.days - 1
    rows, rain = read_traversals(world, config.world, day), read_weather(world, config.world)[1]
    roads = Roads(read_graph(world), Profile.read(features / PROFILE), config.features.live_horizon_min)
    graph, speeds = roads.graph, SpeedHistory.open(features, start_ts(config.world))
    first = np.searchsorted(rows.owner, np.arange(len(rows.trip_id) + 1))
    engine, found = None, []
    order = find_order(graph.topology)
    for hour in HOURS:
        at_ts = start_ts(config.world, day) + hour * HOUR_S
        wet = float(rain[int(step_of(np.array([at_ts]), start_ts(config.world))[0])])
        seconds = live_edge_seconds(roads, speeds.forecast[int(speeds.at(np.array([at_ts]))[0])], at_ts, wet)
        if engine is None:
            engine = open_engine(graph.topology, order, seconds)
        else:
            engine.update(seconds)
        departs = (rows.departure_ts >= at_ts) & (rows.departure_ts < at_ts + STEP_S)
        for trip in np.flatnonzero(departs)[:AT_ONCE].tolist():
            driven = rows.edge[first[trip] : first[trip + 1]]
            path = engine.path(int(graph.tail[driven[0]]), int(graph.head[driven[-1]]))
            if path is not None:
                found.append((not np.array_equal(path.edges, driven), 1 - path.seconds / seconds[driven].sum()))
    share, saved = np.array(found, np.float64).reshape(-1, 2).mean(0) if found else (0.0, 0.0)
    return Rerouted(len(found), float(share), float(saved))
