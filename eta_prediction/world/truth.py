"""The generated world as one value in memory. The configuration and its seed determine it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.config import WorldConfig
from eta_prediction.domain import Array, RoadGraph
from eta_prediction.world.city import make_city
from eta_prediction.world.places import Places, make_places
from eta_prediction.world.traffic.incidents import edge_rates
from eta_prediction.world.traffic.process import Traffic, make_traffic
from infra.simulation.streams import stream


@dataclass(frozen=True)
class World:
    """`habit` float64[drivers] is each driver's mean log pace, `incident_rate` float64[edges] is per second. `works`
    float64[edges] multiplies the time on an edge: 1 without road works (`world.shift`)."""

    config: WorldConfig
    graph: RoadGraph
    traffic: Traffic
    places: Places
    habit: Array
    incident_rate: Array
    works: Array


def make_world(config: WorldConfig) -> World:
    graph = make_city(config.city, config.seed)
    habit = config.trips.driver_spread * stream(config.seed, "drivers").normal(size=config.drivers)
    return World(
        config,
        graph,
        make_traffic(config.traffic, graph),
        make_places(config.trips, graph, config.seed),
        np.asarray(habit),
        edge_rates(config.incidents, graph),
        np.ones(graph.edges),
    )
