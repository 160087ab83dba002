"""Step `index`: order the road graph for the engine, and write the city's snapshot that serving reads."""

from __future__ import annotations

import json

import numpy as np

from eta_prediction.config import EtaConfig
from eta_prediction.events.history import read_calendar, read_graph, read_incidents, read_weather
from eta_prediction.features.speeds import SpeedHistory, Speeds
from eta_prediction.items.city import write_city
from eta_prediction.items.road_state import RoadState
from infra.build.runner import Facts, StepContext
from infra.routing.choose import find_order
from infra.simulation.streams import end_ts, start_ts


def build(context: StepContext) -> Facts:
    config: EtaConfig = context.config
    world, features = context.inputs["world"], context.inputs["features"]
    registered = json.loads((context.inputs["train"] / "registered.json").read_text())
    graph, now_ts = read_graph(world), end_ts(config.world)
    context.report(0.2, f"ordering {graph.nodes:,} nodes")
    order = find_order(graph.topology)
    history = SpeedHistory.open(features, start_ts(config.world))
    last = int(history.at(np.array([now_ts]))[0])
    made_ts = float(history.made_ts(np.array([last]))[0])
    rain = float(read_weather(world, config.world)[1][-1])
    forecast, observed = (np.array(values[last]) for values in (history.forecast, history.observed))
    state = RoadState.of(Speeds(1, made_ts, forecast, observed, rain), read_incidents(world, config.world))
    snapshot = context.out / "snapshot"
    snapshot.mkdir()
    meta = {"model_digest": registered["digest"], "world_now": now_ts}
    write_city(snapshot, world, features, read_calendar(world, config.world), order, state, config.features, meta)
    return {"nodes": graph.nodes, "edges": graph.edges, "engine": "cch" if order is not None else "dijkstra"}
