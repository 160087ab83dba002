"""The routing engines under the newest traffic, and the state of the roads that they use.

Three engines share the map: `live` routes on the speeds of the next minutes, `profile` on the usual traffic of the
quarter of an hour, and `distance` on metres. `apply` gives the first one new edge times while queries go on.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from eta_prediction.domain import QUARTER_S, Array
from eta_prediction.features.route_inputs import Roads, live_edge_seconds
from eta_prediction.items.city import City
from eta_prediction.items.road_state import RoadState
from infra.errors import RoutingUnavailable
from infra.routing.choose import open_engine
from infra.routing.port import RoutingEngine

LIVE, PROFILE, DISTANCE = "live", "profile", "distance"


@dataclass
class LiveRoads:
    """`state` is the newest one that routes use. `update_ms` is the time that the last update took."""

    roads: Roads
    engines: dict[str, RoutingEngine]
    state: RoadState
    update_ms: float = 0.0
    _quarter: int = -1
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, city: City) -> LiveRoads:
        """Engines with the times of the snapshot's state. Without an engine's node order, Dijkstra routes."""
        roads, state = city.roads, city.state
        live = live_edge_seconds(roads, state.forecast, state.made_ts, state.rain)
        usual = city.profile.edge_seconds(city.graph, state.made_ts)
        edge_times: dict[str, Array] = {LIVE: live, PROFILE: usual, DISTANCE: city.graph.length_m / 10.0}
        topology = city.graph.topology
        engines = {name: open_engine(topology, city.order, seconds) for name, seconds in edge_times.items()}
        return cls(roads, engines, state, _quarter=int(state.made_ts // QUARTER_S))

    def apply(self, state: RoadState) -> None:
        """Route on the speeds of `state` from now on. Raises `RoutingUnavailable` if the engine keeps its old times."""
        started = time.perf_counter()
        seconds = live_edge_seconds(self.roads, state.forecast, state.made_ts, state.rain)
        with self._lock:
            self.engines[LIVE].update(seconds)
            self.state = state
            self.update_ms = (time.perf_counter() - started) * 1000

    def follow(self, now_ts: float) -> None:
        """Give the engine of the usual traffic the times of this quarter of an hour. One caller at a time does so."""
        quarter = int(now_ts // QUARTER_S)
        if quarter == self._quarter or not self._lock.acquire(blocking=False):
            return
        try:
            self.engines[PROFILE].update(self.roads.profile.edge_seconds(self.roads.graph, now_ts))
            self._quarter = quarter
        except RoutingUnavailable:
            pass  # the next request tries again
        finally:
            self._lock.release()
