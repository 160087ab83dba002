"""Step `features`: usual traffic, speeds of every minute, places, drivers, and what each trip's route said.

Of the history, only the days before the holdout teach anything. Trips of the live log teach places and drivers
(`offline.live_trips`). The profile of a training day is learned without that day (cross-fitting), so residuals of
training days are as large as those of later days. Everything else that a trip gets was known at its departure: the
newest speeds, the reported incidents, and places and drivers from trips that had arrived.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from eta_prediction.config import EtaConfig
from eta_prediction.domain import Array, Ints, RoadGraph
from eta_prediction.events.history import (
    EventRows,
    IncidentRows,
    TraversalRows,
    read_calendar,
    read_graph,
    read_incidents,
    read_traversals,
    read_trips,
    read_weather,
)
from eta_prediction.features.driver_row import VIEW, FinishedTrips, driver_rows, snapshot_pairs
from eta_prediction.features.edge_residuals import EdgeTraffic, edge_traffic
from eta_prediction.features.forecast import SpeedForecast
from eta_prediction.features.great_circle import GreatCircle, between, fit_great_circle
from eta_prediction.features.incidents import KnownIncidents, mean_life_s
from eta_prediction.features.places import Places, event_inputs
from eta_prediction.features.probes import step_of
from eta_prediction.features.profile import SLOT_H, Profile
from eta_prediction.features.residuals import probes_of
from eta_prediction.features.route_inputs import Roads, RouteInputs, Snapshots, Traffic, route_inputs
from eta_prediction.features.route_time import RouteTime, fit_route_time, noise_s
from eta_prediction.features.speeds import SpeedHistory
from eta_prediction.offline.live_trips import FILE as LIVE_TRIPS
from eta_prediction.offline.live_trips import finished_live, read_live_trips, with_live_trips
from eta_prediction.offline.traffic_history import (
    Profiles,
    follow_traffic,
    learn_forecast,
    learn_profiles,
    training_days,
    write_speeds,
)
from eta_prediction.offline.trip_table import TripTable
from infra.build.runner import Facts, StepContext
from infra.columns import DAY_S, HOUR_S
from infra.live.kept_log import read_until
from infra.routing.routes import Routes
from infra.simulation.streams import end_ts, start_ts

PROFILE, FORECAST, ROUTE_TIME, PLACES = "profile.npz", "forecast.npz", "route_time.npz", "places.npz"
TRIPS = "trips"
LEARNED = "learned.json"
"""numbers that serving needs: the mean life of an incident, and the great circle's answer"""
LEARNED_FROM = 20_000
"""most trips of one day from which the corrected route is learned"""


def compute_tables(context: StepContext) -> Facts:
    config: EtaConfig = context.config
    world, out = context.inputs["world"], context.out
    graph, rain = read_graph(world), read_weather(world, config.world)[1]
    incidents = read_incidents(world, config.world)
    life_s = mean_life_s(incidents, start_ts(config.world, training_days(config)))
    profiles = learn_profiles(world, config, graph, rain, lambda share, text: context.report(0.25 * share, text))
    profiles.final.write(out / PROFILE)
    followed = follow_traffic(
        world, config, graph, profiles, rain, lambda share, text: context.report(0.25 + 0.3 * share, text)
    )
    forecast = learn_forecast(config, graph, profiles, followed)
    forecast.write(out / FORECAST)
    write_speeds(out, config, profiles, forecast, followed)
    observed_share = float((followed.count > 0).mean())
    del followed
    history = History(world, config, graph, rain, incidents, read_calendar(world, config.world), profiles, life_s)
    days, trips = config.world.days, 0
    (out / TRIPS).mkdir()
    for day in range(days):
        table = history.of_day(out, day)
        table.write(trip_file(out, day))
        trips += len(table)
        context.report(0.55 + 0.35 * (day + 1) / days, f"routes of day {day + 1}")
    route_time, circle = learn_from_trips(out, config, graph)
    route_time.write(out / ROUTE_TIME)
    (out / LEARNED).write_text(json.dumps({"incident_life_s": life_s, "great_circle": circle.as_json()}))
    places, finished = follow_places(out, config, graph, route_time)
    live = context.inputs.get("live")
    since = read_live_trips(live, world, out, config)
    since.write(out / LIVE_TRIPS)
    with_live_trips(places, since, graph, route_time).write(out / PLACES)
    until_ts = read_until(live) if live else end_ts(config.world)
    finished = FinishedTrips.joined([finished, finished_live(since, route_time)])
    rows = write_drivers(out, config, finished, until_ts)
    return {
        "trips": trips,
        "driver_rows": rows,
        "cells_observed": round(observed_share, 4),
        "incident_life_min": round(life_s / 60, 1),
        "live_trips": int((since.is_sound & since.is_complete).sum()),
        **{f"live_skipped_{reason}": count for reason, count in since.skipped.items()},
    }


class History:
    """The log as the build reads it for the inputs of each day's trips."""

    def __init__(
        self,
        world: Path,
        config: EtaConfig,
        graph: RoadGraph,
        rain: Array,
        incidents: IncidentRows,
        events: EventRows,
        profiles: Profiles,
        life_s: float,
    ) -> None:
        self._world, self._config, self._graph, self._rain = world, config, graph, rain
        self._incidents, self._events, self._profiles, self._life_s = incidents, events, profiles, life_s

    def of_day(self, features: Path, day: int) -> TripTable:
        """The arrived trips of one day with the inputs of their routes. The places are not filled in yet."""
        config, begin_ts = self._config, start_ts(self._config.world, day)
        trips = read_trips(self._world, config.world, range(day, day + 1))
        rows = read_traversals(self._world, config.world, day)
        trips = trips.take(trips.is_arrived)
        routes = _in_order(trips.trip_id, rows.trip_id, Routes(rows.edge, rows.owner, len(rows.trip_id)))
        departure_ts = trips.request_ts
        step = np.clip(step_of(departure_ts, start_ts(config.world)), 0, len(self._rain) - 1)
        profile = self._profiles.by_day[day]
        roads = Roads(self._graph, profile, config.features.live_horizon_min)
        traffic = traffic_at(SpeedHistory.open(features, start_ts(config.world)), departure_ts, self._rain[step])
        if config.features.probe_smoothing == "edge":
            traffic = replace(traffic, by_edge=self._by_edge(features, profile, rows, routes, departure_ts))
        known = KnownIncidents.of(self._incidents, self._life_s, begin_ts, begin_ts + DAY_S)
        route = route_inputs(roads, routes, departure_ts, traffic, known)
        event, event_min = event_inputs(self._graph, self._events, trips.origin, departure_ts)
        none = np.zeros(len(trips))
        return TripTable.of(
            trips,
            route,
            hour=profile.slot(departure_ts) * SLOT_H,
            rain=self._rain[step],
            pick_up_s=none,
            drop_off_s=none,
            event=event,
            event_min=event_min,
        )

    def _by_edge(
        self, features: Path, profile: Profile, rows: TraversalRows, routes: Routes, departure_ts: Array
    ) -> EdgeTraffic:
        """Estimates of each edge of the routes at the departure, from the traversals of the same day."""
        step = np.clip(step_of(rows.enter_ts, start_ts(self._config.world)), 0, len(self._rain) - 1)
        probes = probes_of(self._graph, profile, rows.edge, rows.enter_ts, rows.seconds, self._rain[step])
        half_life_s = 60 * self._config.features.residual_half_life_min
        forecast, at_ts = SpeedForecast.read(features / FORECAST), departure_ts[routes.owner]
        return edge_traffic(profile, forecast, probes, rows.edge, rows.known_ts, routes.edges, at_ts, half_life_s)


def traffic_at(speeds: SpeedHistory, at_ts: Array, rain: Array) -> Traffic:
    """The newest speeds at times float64[n] of the history, ascending. `rain` float64[n] is the rain known then."""
    number = speeds.at(at_ts)
    part = slice(int(number.min(initial=0)), int(number.max(initial=0)) + 1)
    made_ts = speeds.made_ts(np.arange(part.start, part.stop))
    snapshots = Snapshots(np.asarray(speeds.forecast[part]), np.asarray(speeds.observed[part]), made_ts)
    return Traffic(snapshots, number - part.start, rain)


def learn_from_trips(out: Path, config: EtaConfig, graph: RoadGraph) -> tuple[RouteTime, GreatCircle]:
    """The corrected route and the great circle's answer, from the trips of the training days."""
    parts = []
    for day in range(training_days(config)):
        table = TripTable.read(trip_file(out, day))
        rows = np.arange(0, len(table), max(1, -(-len(table) // LEARNED_FROM)))
        metres = between(graph, table.origin[rows], table.destination[rows])
        parts.append((table.route.take(rows), table.ride_type[rows], metres, table.seconds[rows]))
    routes, rides, metres_of_days, seconds_of_days = zip(*parts, strict=True)
    route = RouteInputs(
        *(np.concatenate(columns) for columns in zip(*(vars(part).values() for part in routes), strict=True))
    )
    seconds = np.concatenate(seconds_of_days)
    circle = fit_great_circle(np.concatenate(metres_of_days), route.km, seconds)
    return fit_route_time(route, np.concatenate(rides), seconds), circle


def follow_places(
    out: Path, config: EtaConfig, graph: RoadGraph, route_time: RouteTime
) -> tuple[Places, FinishedTrips]:
    """Fill in the estimates of the places day by day. Returns those at the end of the history, and all arrived trips
    with their residuals for the drivers."""
    places, finished, waiting = Places.nothing(), [], _no_arrivals()
    for day in range(config.world.days):
        begin_ts = start_ts(config.world, day)
        arrived = waiting["arrival_ts"] < begin_ts
        places = places.with_trips(
            *(waiting[name][arrived] for name in ("origin", "destination", "surplus_s", "noise_s"))
        )
        table = TripTable.read(trip_file(out, day))
        origin, destination = graph.cell[table.origin], graph.cell[table.destination]
        table = replace(table, pick_up_s=places.pick_up_s[origin], drop_off_s=places.drop_off_s[destination])
        table.write(trip_file(out, day))
        road_s = route_time.road_s(table.route)
        noise = noise_s(road_s, table.ride_type)
        surplus_s = table.seconds - road_s - route_time.fixed_s(table.ride_type)
        unexplained_s = surplus_s - table.pick_up_s - table.drop_off_s
        finished.append(FinishedTrips.of(table.served_driver_id, table.arrival_ts, unexplained_s, noise, road_s))
        new = {"origin": origin, "destination": destination, "surplus_s": surplus_s, "noise_s": noise}
        new["arrival_ts"] = table.arrival_ts
        waiting = {name: np.concatenate([values[~arrived], new[name]]) for name, values in waiting.items()}
    done = waiting["arrival_ts"] <= end_ts(config.world)
    places = places.with_trips(*(waiting[name][done] for name in ("origin", "destination", "surplus_s", "noise_s")))
    return places, FinishedTrips.joined(finished)


def write_drivers(out: Path, config: EtaConfig, finished: FinishedTrips, until_ts: float) -> int:
    """Write the Feast table of the drivers. Returns the number of its rows."""
    every_s = config.features.driver_snapshot_h * HOUR_S
    table = driver_rows(finished, config.features.driver_window_days, *snapshot_pairs(finished, every_s, until_ts))
    pq.write_table(table, out / f"{VIEW}.parquet")
    return len(table)


def trip_file(features: Path, day: int) -> Path:
    return features / TRIPS / f"{day}.npz"


def _no_arrivals() -> dict[str, npt.NDArray[Any]]:
    nowhere, none = np.zeros(0, np.int64), np.zeros(0)
    return {"origin": nowhere, "destination": nowhere, "surplus_s": none, "noise_s": none, "arrival_ts": none}


def _in_order(wanted: Ints, trip_id: Ints, routes: Routes) -> Routes:
    """The routes of trips `wanted` int64[n], in that order; `trip_id` int64[routes] are those of `routes`."""
    if np.array_equal(wanted, trip_id):
        return routes
    first = np.searchsorted(routes.owner, np.arange(routes.trips + 1))
    order = np.argsort(trip_id)
    row = order[np.searchsorted(trip_id[order], wanted)]
    count = (first[1:] - first[:-1])[row]
    owner = np.repeat(np.arange(len(wanted)), count)
    at = np.repeat(first[row] - (np.cumsum(count) - count), count) + np.arange(len(owner))
    return Routes(routes.edges[at], owner, len(wanted))
