"""Pick-up and drop-off overheads: time at the kerb, by cell of the city and hour. Airports and events take longer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.config import TripConfig
from eta_prediction.domain import CELLS, Array, Ints, RoadGraph
from infra.simulation.streams import stream

RUSH_PICK_UP, RUSH_DROP_OFF = 0.3, 0.2
"""effects of the profile's peak on the log overhead"""


@dataclass(frozen=True)
class Places:
    """`cell` int64[nodes]; `pick_up` and `drop_off` float64[cells]: the mean log overhead at night."""

    cell: Ints
    pick_up: Array
    drop_off: Array
    event_effect: float

    def log_pick_up(self, node: Ints, profile: Array, event: Array) -> Array:
        found: Array = self.pick_up[self.cell[node]] + RUSH_PICK_UP * profile + self.event_effect * event
        return found

    def log_drop_off(self, node: Ints, profile: Array) -> Array:
        found: Array = self.drop_off[self.cell[node]] + RUSH_DROP_OFF * profile
        return found


def make_places(config: TripConfig, graph: RoadGraph, seed: int) -> Places:
    rng = stream(seed, "places")
    pick_up, drop_off = (
        np.log(seconds) + config.place_spread * rng.normal(size=CELLS**2)
        for seconds in (config.pick_up_s, config.drop_off_s)
    )
    pick_up[graph.cell[graph.airport]] = np.log(config.airport_s)
    return Places(graph.cell, pick_up, drop_off, config.event_effect)
