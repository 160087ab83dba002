"""Stage `route`: the fastest way at the newest speeds, and alternatives on demand.

Without an engine, the great circle takes the route's place (`features.great_circle`). All routes are timed with the
same traffic, whatever they were found with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import Array, Ints, RoadGraph
from eta_prediction.features.great_circle import GreatCircle, between
from eta_prediction.features.route_inputs import live_edge_seconds
from eta_prediction.items.live_roads import DISTANCE, LIVE, PROFILE, LiveRoads
from eta_prediction.online.query import GREAT_CIRCLE, EtaQuery, FoundRoute
from infra.errors import DependencyError, RoutingUnavailable, UsageError
from infra.faults.switch import FaultSwitch
from infra.routing.port import RoutingEngine


class DownEngine:
    """Fault: every search for a route fails."""

    def path(self, source: int, target: int) -> None:
        raise RoutingUnavailable("injected fault: the routing engine is down")

    def seconds_to(self, sources: Ints, target: int) -> None:
        raise RoutingUnavailable("injected fault: the routing engine is down")

    def paths_to(self, sources: Ints, target: int) -> None:
        raise RoutingUnavailable("injected fault: the routing engine is down")


@dataclass(frozen=True)
class Router:
    live: LiveRoads
    circle: GreatCircle
    faults: FaultSwitch
    name: str = "engine"

    @property
    def graph(self) -> RoadGraph:
        return self.live.roads.graph

    def engine(self, found_with: str) -> RoutingEngine:
        injected = self.faults.active("routing")
        engine: RoutingEngine = self.live.engines[found_with]
        return engine if injected is None else injected.around(engine)

    def find(self, query: EtaQuery) -> EtaQuery:
        """The query with its routes, the quoted one first.

        Raises `UsageError` if no road leads to the destination, and a `DependencyError` without an engine.
        """
        self.live.follow(query.request_ts)
        source = PROFILE if query.route.found_with == LIVE and not query.is_live else query.route.found_with
        names = [source]
        if query.most_routes > 1:
            names += [name for name in (LIVE, PROFILE, DISTANCE) if name != source and (name != LIVE or query.is_live)]
        found: list[FoundRoute] = []
        for name in names[: query.most_routes]:
            path = self.engine(name).path(query.origin, query.destination)
            if path is None:
                raise UsageError(f"no road leads from node {query.origin} to node {query.destination}")
            if query.most_routes == 1 and name == LIVE:  # the engine's own time is that at the newest speeds
                found.append(FoundRoute(name, path.edges, self._km(path.edges), path.seconds))
            elif not any(np.array_equal(path.edges, route.edges) for route in found):
                found.append(self._timed(query, name, path.edges))
        return query.but(routes=tuple(found), route_source=source)

    def fallback(self, query: EtaQuery, cause: DependencyError) -> EtaQuery:
        """The great circle, with the usual detour and time of past trips."""
        metres = between(self.graph, np.array([query.origin]), np.array([query.destination]))
        seconds, km = float(self.circle.seconds(metres)[0]), float(self.circle.detour * metres[0] / 1000)
        route = FoundRoute(GREAT_CIRCLE, np.zeros(0, np.int64), km, seconds)
        return query.but(routes=(route,), route_source=GREAT_CIRCLE)

    def _timed(self, query: EtaQuery, name: str, edges: Ints) -> FoundRoute:
        """A route with its time at the speeds of the next minutes; the stage `forecast` times it more closely."""
        roads, state = self.live.roads, query.state
        usual = roads.profile.usual[:, int(roads.profile.slot(np.array([query.departure_ts]))[0])]
        group = roads.graph.group.take(edges)
        log_ratio = usual.take(group)
        log_ratio += roads.profile.offset.take(edges)
        log_ratio += roads.profile.rain_effect.take(group) * state.rain
        if query.is_live:
            log_ratio += state.forecast[:, 0].take(group)
        seconds = float(np.add.reduce(roads.graph.free_s.take(edges) * np.exp(log_ratio)))
        return FoundRoute(name, edges, self._km(edges), seconds)

    def _km(self, edges: Ints) -> float:
        return float(np.add.reduce(self.graph.length_m.take(edges))) / 1000


def delays(live: LiveRoads, query: EtaQuery) -> Array:
    """float64[edges]: time over free-flow time, as the query sees it. Maps show it."""
    seconds = live_edge_seconds(live.roads, query.state.forecast, query.departure_ts, query.state.rain)
    return np.asarray(seconds / live.roads.graph.free_s, np.float64)
