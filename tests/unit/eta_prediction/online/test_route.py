"""The stage `route` on a map with closed roads: places without a road between them, and an engine that is down."""

from __future__ import annotations

import numpy as np
import pytest

from eta_prediction.config import PredictConfig, QuoteConfig, RouteConfig
from eta_prediction.domain import GROUPS, NONE
from eta_prediction.features.forecast import HORIZONS_MIN
from eta_prediction.features.great_circle import GreatCircle
from eta_prediction.features.route_inputs import Roads
from eta_prediction.items.live_roads import DISTANCE, LIVE, PROFILE, LiveRoads
from eta_prediction.items.road_state import RoadState
from eta_prediction.online.bootstrap import FAULTS
from eta_prediction.online.query import EtaQuery
from eta_prediction.online.route import Router
from infra.errors import RoutingUnavailable, UsageError
from infra.faults.switch import FaultSwitch
from infra.resilience.deadline import Deadline
from infra.routing.dijkstra import DijkstraEngine
from tests.support.eta_roads import GRAPH, MONDAY, profile_of

SHUT, OPEN = 40, 60
STATE = RoadState(
    1, MONDAY, np.zeros((GROUPS, len(HORIZONS_MIN)), np.float32), np.ones(GROUPS, np.float32), 0.0,
    np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0),
)  # fmt: skip


def router() -> Router:
    """All roads to the node `SHUT` are closed."""
    seconds = np.where(GRAPH.head == SHUT, np.inf, GRAPH.free_s)
    engines = {name: DijkstraEngine(GRAPH.topology, seconds) for name in (LIVE, PROFILE, DISTANCE)}
    faults = FaultSwitch()
    faults.register(FAULTS)
    live = LiveRoads(Roads(GRAPH, profile_of(), 15.0), dict(engines), STATE)
    return Router(live, GreatCircle(100.0, 0.1, 1.3, (0.7, 1.0, 1.5)), faults)


def query(destination: int) -> EtaQuery:
    return EtaQuery(
        quote_id=1, seed=1, request_ts=MONDAY, departure_ts=MONDAY, ride_type=0, driver_id=NONE, most_routes=1,
        deadline=Deadline.after_ms(1000), route=RouteConfig(), predict=PredictConfig(), quote=QuoteConfig(), knobs={},
        state=STATE, is_live=True, origin=3, destination=destination,
    )  # fmt: skip


def test_places_without_a_road_between_them_are_refused_by_their_nodes() -> None:
    with pytest.raises(UsageError, match=f"no road leads from node 3 to node {SHUT}"):
        router().find(query(SHUT))
    assert router().find(query(OPEN)).routes[0].km > 0


def test_engine_that_is_down_raises_and_the_great_circle_takes_its_place() -> None:
    found = router()
    found.faults.inject("routing", "down", 0.0)
    with pytest.raises(RoutingUnavailable):
        found.find(query(OPEN))
    route = found.fallback(query(OPEN), RoutingUnavailable("down")).routes[0]
    assert not len(route.edges)
    assert route.seconds > 100
    assert route.km == pytest.approx(1.3 * (route.seconds - 100) / 0.1 / 1000)
