"""Recomputes the inputs of quotes from the history and the live log, as of the times that the quotes name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eta_prediction.config import EtaConfig
from eta_prediction.design import DESIGN
from eta_prediction.domain import NONE, hour_of_week
from eta_prediction.events.codec import edges_of
from eta_prediction.events.cuts import live_root
from eta_prediction.events.history import read_incidents, read_weather
from eta_prediction.events.live_history import read_ended_trips, read_events
from eta_prediction.events.paths import INCIDENTS, WEATHER
from eta_prediction.events.rows import LIVE_INCIDENTS, LIVE_WEATHER
from eta_prediction.events.schemas import Quote
from eta_prediction.features.places import event_inputs
from eta_prediction.features.route_inputs import route_inputs
from eta_prediction.features.views import DRIVER, DriverFeatures, no_driver
from eta_prediction.items.city import City, open_city
from eta_prediction.items.road_state import RoadState
from eta_prediction.model.inputs import Floats, TripInputs, assemble
from eta_prediction.worker.append_log import FORGOTTEN, TrafficLog, read_recent
from eta_prediction.worker.driver_log import DriverLog, read_finished
from eta_prediction.worker.refresh import read_quotes, read_uploads
from infra.registry.release import CURRENT, read_release
from infra.routing.routes import Routes
from infra.settings import Settings


@dataclass(frozen=True)
class Recount:
    """What a build and the live log know, read for quotes whose traffic is not older than some time."""

    city: City
    traffic: TrafficLog
    drivers: DriverLog

    @classmethod
    def read(cls, settings: Settings, config: EtaConfig, oldest_ts: float) -> Recount:
        """`oldest_ts` is the earliest `speeds_ts` of the quotes."""
        root, live = settings.design_root(DESIGN.name), live_root(settings)
        steps = json.loads((root / CURRENT).read_text())
        world, city = Path(steps["world"]), open_city(Path(read_release(root).index_path))
        half_life_s = 60 * city.features.residual_half_life_min
        from_ts = oldest_ts - FORGOTTEN * half_life_s
        history = read_incidents(world, config.world), read_weather(world, config.world)
        traffic = TrafficLog(city.graph, city.profile, half_life_s, from_ts, *history)
        traffic.add_driven(read_recent(world, config.world, from_ts))
        traffic.add(read_uploads(live, from_ts))
        traffic.add_incidents(read_events(live / INCIDENTS, LIVE_INCIDENTS))
        traffic.add_weather(read_events(live / WEATHER, LIVE_WEATHER))
        drivers = DriverLog(city.route_time, read_finished(Path(steps["features"]), city.route_time))
        drivers.add_ends(read_ended_trips(live))
        for quotes in read_quotes(live):
            drivers.add_quotes(quotes)
        return cls(city, traffic, drivers)

    def inputs(self, quotes: Sequence[Quote]) -> Floats:
        """float32[n, NAMES] of quotes with a route, in the order of their `speeds_ts`, because the sums of the traffic
        only move forward."""
        found, state = [], None
        for quote in quotes:
            if state is None or state.made_ts != quote.speeds_ts:
                speeds = self.traffic.speeds(
                    self.city.features, self.city.forecast, quote.speeds_ts, snapshot_id=quote.speeds_id
                )
                state = RoadState.of(speeds, self.traffic.incidents())
            found.append(self._of_one(quote, state))
        return np.concatenate(found)

    def _of_one(self, quote: Quote, state: RoadState) -> Floats:
        city, edges = self.city, edges_of(quote.edges)
        seen = state if quote.traffic == "live" else state.without_traffic()
        departs, cell = np.array([quote.departure_ts]), city.graph.cell
        rain = state.rain if quote.speeds_id else 0.0
        routes = Routes(edges, np.zeros(len(edges), np.int64), 1)
        incidents = seen.incidents(city.incident_life_s)
        route = route_inputs(city.roads, routes, departs, seen.traffic(routes, city.forecast, rain=rain), incidents)
        event, event_min = event_inputs(city.graph, city.events, np.array([quote.origin]), departs)
        return assemble(
            TripInputs(
                route=route,
                hour=hour_of_week(departs, city.profile.time_zone),
                rain=np.array([rain]),
                pick_up_s=city.places.pick_up_s[cell[[quote.origin]]],
                drop_off_s=city.places.drop_off_s[cell[[quote.destination]]],
                event=event,
                event_min=event_min,
                ride_type=np.array([quote.ride_type]),
                driver=self._driver(quote),
            )
        )

    def _driver(self, quote: Quote) -> DriverFeatures:
        if quote.driver_id == NONE or quote.driver_ts == 0:
            return no_driver()
        rows = self.drivers.rows(self.city.features, quote.driver_ts, np.array([quote.driver_id]))
        return DriverFeatures(np.ones(1), *(rows[name].to_numpy(np.float64) for name in DRIVER))
