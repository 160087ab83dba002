"""Stage `forecast`: when the trip reaches each edge, how fast traffic is by then, and the model's inputs from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import Ints, hour_of_week
from eta_prediction.features.places import event_inputs
from eta_prediction.features.route_inputs import route_inputs
from eta_prediction.features.views import DriverFeatures
from eta_prediction.items.city import City
from eta_prediction.items.live_roads import LiveRoads
from eta_prediction.items.road_state import RoadState
from eta_prediction.model.inputs import Floats, TripInputs, assemble
from eta_prediction.online.query import EtaQuery
from infra.routing.routes import Routes


@dataclass(frozen=True)
class RouteForecaster:
    city: City
    live: LiveRoads
    name: str = "route_inputs"

    def inputs(self, query: EtaQuery) -> EtaQuery:
        """The query with the inputs of its quoted route. A query without edges keeps none."""
        edges = query.routes[0].edges
        if not len(edges):
            return query
        one = np.array([query.origin]), np.array([query.destination])
        x = self.of_routes(
            Routes(edges, np.zeros(len(edges), np.int64), 1),
            *one,
            query.departure_ts,
            query.ride_type,
            query.driver,
            query.state if query.is_live else query.state.without_traffic(),
            query.state.rain,
        )
        return query.but(x=x)

    def of_routes(
        self,
        routes: Routes,
        origin: Ints,
        destination: Ints,
        departure_ts: float,
        ride_type: int,
        driver: DriverFeatures,
        state: RoadState,
        rain: float,
    ) -> Floats:
        """float32[n, NAMES] for n routes with the same departure and type of ride."""
        city, n = self.city, routes.trips
        departs = np.full(n, departure_ts)
        traffic = state.traffic(routes, city.forecast, rain=rain)
        route = route_inputs(self.live.roads, routes, departs, traffic, state.incidents(city.incident_life_s))
        event, event_min = event_inputs(city.graph, city.events, origin, departs)
        cell = city.graph.cell
        return assemble(
            TripInputs(
                route=route,
                hour=hour_of_week(departs, city.profile.time_zone),
                rain=np.full(n, rain),
                pick_up_s=city.places.pick_up_s[cell[origin]],
                drop_off_s=city.places.drop_off_s[cell[destination]],
                event=event,
                event_min=event_min,
                ride_type=np.full(n, ride_type, np.int64),
                driver=driver,
            )
        )
