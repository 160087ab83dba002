"""The traffic feed: the newest state of the roads, if it is fresh enough. Part of the stage `route`.

Without it, routes and predictions use the usual traffic, and the model that was trained without live inputs answers.
"""

from __future__ import annotations

from dataclasses import dataclass

from eta_prediction.items.live_roads import LiveRoads
from eta_prediction.items.road_state import RoadState
from eta_prediction.online.query import EtaQuery
from infra.errors import DependencyError, TrafficStale, TrafficUnavailable
from infra.faults.switch import FaultSwitch


class DownFeed:
    """Fault: there is no state of the roads."""

    def __call__(self) -> RoadState:
        raise TrafficUnavailable("injected fault: the traffic feed is down")


class StaleFeed:
    """Fault: no new state arrives, and the last one is too old."""

    def __call__(self) -> RoadState:
        raise TrafficStale("injected fault: the newest state of the roads is old")


@dataclass(frozen=True)
class TrafficFeed:
    live: LiveRoads
    faults: FaultSwitch
    name: str = "traffic_feed"

    def see(self, query: EtaQuery) -> EtaQuery:
        """The query with the newest state. Its traffic counts if it describes the departure: the departure is soon, and
        enough vehicles were observed.

        Raises `TrafficStale` if the state is older than `speeds_ttl_s`.
        """
        injected = self.faults.active("traffic")
        state: RoadState = self.live.state if injected is None else injected.around(self.live.state)()
        age_s = query.request_ts - state.made_ts
        if age_s > query.route.speeds_ttl_s:
            raise TrafficStale(f"the newest state of the roads is {age_s:.0f} s old")
        is_soon = query.departure_ts - query.request_ts <= 60 * query.route.live_departure_min
        is_seen = state.probes >= query.route.fewest_probes
        return query.but(state=state, is_live=is_soon and is_seen)

    def fallback(self, query: EtaQuery, cause: DependencyError) -> EtaQuery:
        return query.but(state=self.live.state.without_traffic(), is_live=False)
