"""Time at the kerb by place: what trips that begin or end in a cell take longer than the corrected route says.

The estimates of a day come from the days before it. Each trip's surplus is split: the origin gets what the estimate of
the destination does not explain, and the other way round. Estimates of cells with few trips are close to 0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from eta_prediction.domain import CELLS, Array, Ints, RoadGraph
from eta_prediction.events.history import EventRows
from infra.routing.snap import great_circle_m

PRIOR_SD_S = 35.0
"""how much cells differ"""
EVENT_M, EVENT_S = 1_200.0, 3_600.0
"""an event counts within this distance, for this time after its end"""


@dataclass(frozen=True)
class Places:
    """Weighted sums of surpluses: float64[cells] each. `pick_up_s` and `drop_off_s` are the estimates."""

    origin_weight: Array
    origin_total: Array
    destination_weight: Array
    destination_total: Array

    @classmethod
    def nothing(cls) -> Places:
        return cls(*(np.zeros(CELLS**2) for _ in fields(cls)))

    @property
    def pick_up_s(self) -> Array:
        """float64[cells]: seconds more than at the average kerb."""
        return self.origin_total / (self.origin_weight + PRIOR_SD_S**-2)

    @property
    def drop_off_s(self) -> Array:
        return self.destination_total / (self.destination_weight + PRIOR_SD_S**-2)

    def with_trips(self, origin: Ints, destination: Ints, surplus_s: Array, noise_s: Array) -> Places:
        """Add finished trips between cells int64[n]; `noise_s` float64[n] is the standard deviation of each surplus."""
        weight, size = noise_s**-2, CELLS**2
        at_origin = surplus_s - self.drop_off_s[destination]
        at_destination = surplus_s - self.pick_up_s[origin]
        return Places(
            self.origin_weight + np.bincount(origin, weight, size),
            self.origin_total + np.bincount(origin, weight * at_origin, size),
            self.destination_weight + np.bincount(destination, weight, size),
            self.destination_total + np.bincount(destination, weight * at_destination, size),
        )

    def write(self, path: Path) -> None:
        arrays: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        np.savez(path, **arrays)

    @classmethod
    def read(cls, path: Path) -> Places:
        with np.load(path, allow_pickle=False) as stored:
            return cls(*(stored[item.name] for item in fields(cls)))


def event_inputs(graph: RoadGraph, events: EventRows, node: Ints, at_ts: Array) -> tuple[Array, Array]:
    """(nearness, minutes since the end) float64[n] of the nearest public event that has just ended.

    Nearness is 1 at the event and 0 without one; the minutes are -1 without one. The calendar is public, so an event's
    end is known beforehand.
    """
    near, minutes = np.zeros(len(node)), np.full(len(node), -1.0)
    if not len(node):
        return near, minutes
    just_ended = np.flatnonzero((events.end_ts <= at_ts.max()) & (events.end_ts + EVENT_S > at_ts.min()))
    for where, end in zip(events.node[just_ended].tolist(), events.end_ts[just_ended].tolist(), strict=True):
        soon = np.flatnonzero((at_ts >= end) & (at_ts < end + EVENT_S))
        here = (np.full(len(soon), value[where]) for value in (graph.lon, graph.lat))
        found = 1 - great_circle_m(graph.lon[node[soon]], graph.lat[node[soon]], *here) / EVENT_M
        nearer = found > near[soon]
        near[soon[nearer]] = found[nearer]
        minutes[soon[nearer]] = (at_ts[soon] - end)[nearer] / 60
    return near, minutes
