"""The state of the roads: speeds and open incidents as of one time. The worker writes it, and every service reads it.

All replicas thus route and predict with the same traffic, and a quote names the state that it used.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from eta_prediction.domain import Array, Ints
from eta_prediction.events.history import IncidentRows
from eta_prediction.features.edge_residuals import EdgeTraffic, fade_of
from eta_prediction.features.forecast import SpeedForecast
from eta_prediction.features.incidents import KnownIncidents
from eta_prediction.features.route_inputs import Snapshots, Traffic
from eta_prediction.features.speeds import Floats, Speeds
from infra.live.live_arrays import read_arrays, write_arrays
from infra.routing.routes import Routes

FILE = "roads.npz"


@dataclass(frozen=True)
class RoadState:
    """`snapshot_id`, `made_ts`, `forecast`, `observed`, `rain` and `by_edge` are those of `features.speeds.Speeds`.

    `incident_edge` int64[k] and `incident_reported_ts` float64[k] are the incidents that are reported and not cleared.
    """

    snapshot_id: int
    made_ts: float
    forecast: Floats
    observed: Floats
    rain: float
    by_edge: Floats
    incident_edge: Ints
    incident_reported_ts: Array

    @classmethod
    def of(cls, speeds: Speeds, incidents: IncidentRows) -> RoadState:
        """`speeds` with the incidents that are known to be there at that time."""
        at_ts = speeds.made_ts
        there = np.flatnonzero((incidents.reported_ts <= at_ts) & (incidents.cleared_ts > at_ts))
        there = there[np.argsort(incidents.edge[there], kind="stable")]
        return cls(
            **vars(speeds), incident_edge=incidents.edge[there], incident_reported_ts=incidents.reported_ts[there]
        )

    @cached_property
    def probes(self) -> float:
        """The decayed number of traversals behind the speeds."""
        return float(self.observed.sum())

    @cached_property
    def _snapshots(self) -> Snapshots:
        return Snapshots(self.forecast[None], self.observed[None], np.array([self.made_ts]))

    def traffic(self, routes: Routes, forecast: SpeedForecast, *, rain: float | None = None) -> Traffic:
        """What the trips of one request, on `routes`, know of the speeds. `forecast` is the city's."""
        by_edge = None
        if len(self.by_edge):
            by_edge = EdgeTraffic(self.by_edge[routes.edges].astype(np.float64), fade_of(forecast))
        return Traffic(
            self._snapshots,
            np.zeros(routes.trips, np.int64),
            np.full(routes.trips, self.rain if rain is None else rain),
            by_edge,
        )

    def incidents(self, life_s: float) -> KnownIncidents:
        open_end = np.full(len(self.incident_edge), np.inf)
        return KnownIncidents(self.incident_edge, self.incident_reported_ts, open_end, life_s)

    def without_traffic(self) -> RoadState:
        """The same time with the usual traffic and no incidents, for a departure to which this state does not apply."""
        return RoadState(
            0,
            self.made_ts,
            np.zeros_like(self.forecast),
            np.zeros_like(self.observed),
            0.0,
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            np.zeros(0),
        )

    def write(self, path: Path) -> None:
        write_arrays(path, self)

    @classmethod
    def read(cls, path: Path) -> RoadState:
        """Raises `OSError` if the file is missing and `ValueError` if it is invalid."""
        return read_arrays(path, cls, [item.name for item in fields(cls)])
