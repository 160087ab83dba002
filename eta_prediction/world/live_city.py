"""The city after the end of its history: the days go on from the same random streams, and what happens is reported.

Congestion, rain and incidents continue the last day of the history. Vehicles in the background drive the trips that the
history's demand would have had, and upload their traversals. A very large city drives at most `MOST_TRIPS` of them.
Road works (`world.shift`) begin and end while the city lives.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from eta_prediction.config import WorldConfig
from eta_prediction.domain import Array, Ints, hour_of_week
from eta_prediction.world.city_day import CityDay, draw_city_day
from eta_prediction.world.demand import Demand
from eta_prediction.world.history import Planned, plan
from eta_prediction.world.public_events import is_after
from eta_prediction.world.routing import find_routes
from eta_prediction.world.traffic.city_state import DayEnd, draw_day, first_state
from eta_prediction.world.traffic.rush import profile
from eta_prediction.world.truth import World, make_world
from eta_prediction.world.uploads import Uploads, make_uploads
from infra.columns import DAY_S
from infra.routing.choose import find_order, open_engine
from infra.routing.routes import Routes
from infra.simulation.streams import end_ts, start_ts

Report = tuple[float, Mapping[str, Any]]
"""(time when it is due, body)"""
MOST_TRIPS = 40_000
"""most background trips of a day: about 40 traversals per second"""
NUMBERED_FROM = 10_000_000
"""background trips of a day have the numbers from day × NUMBERED_FROM on, like those of the history"""
KEPT_DAYS = 3


@dataclass(frozen=True)
class LiveDay:
    """`found` is the day of the original world. `edge_s` float64[m] are the seconds of the background's vehicles on the
    edges of their routes, road works included."""

    day: int
    begin_ts: float
    found: CityDay
    edge_s: Array
    uploads: Uploads


class LiveCity:
    """The world of `config` from the end of its history on. Thread-safe; the first use of a day draws it."""

    def __init__(self, config: WorldConfig) -> None:
        self.end_ts = end_ts(config)
        self.world = make_world(config)
        topology = self.world.graph.topology
        self._engine = open_engine(topology, find_order(topology), self.world.graph.free_s)
        self._driven = replace(self.world, config=replace(config, trips_per_day=min(config.trips_per_day, MOST_TRIPS)))
        self._lock = threading.RLock()
        self._works: list[tuple[float, Array]] = []
        """(time from which they apply, factor float64[edges] on the time of each edge)"""
        self._days: dict[int, LiveDay] = {}
        self._ends: dict[int, DayEnd] = {-1: first_state(self.world)}

    def day_at(self, at_ts: float) -> LiveDay:
        """The day (UTC) of a time. A time before the end of the history belongs to the first day after it."""
        config = self.world.config
        day = max(int((at_ts - start_ts(config)) // DAY_S), config.days)
        with self._lock:
            found = self._days.get(day)
            if found is None:
                found = self._days[day] = self._drawn(day)
                for old in sorted(self._days)[:-KEPT_DAYS]:
                    del self._days[old]
            return found

    def shift(self, world: World, from_ts: float) -> None:
        """Continue as `world`, which differs in its road works. A vehicle of the background meets them on edges that it
        enters at `from_ts` or later. What the background has uploaded before `from_ts` stays."""
        with self._lock:
            self.world = world
            self._works.append((from_ts, world.works))
            self._days = {number: self._live_day(number, day.found) for number, day in self._days.items()}

    def planned(self, world: World, demand: Demand, edges: Ints) -> Planned:
        """One trip along `edges` int64[k], as `world` times it at its departure."""
        day = self.day_at(float(demand.at_ts[0])).found
        is_event = is_after(world.config.events, world.graph, day.events, demand.origin, demand.at_ts)
        return plan(world, day.state, demand, Routes.of([edges]), is_event)

    def usual_route(self, demand: Demand) -> Ints:
        """int64[k]: the edges of the route that one trip takes without a service that finds one."""
        usual = profile(hour_of_week(demand.at_ts, self.world.config.time_zone))
        with self._lock:
            graph, traffic = self.world.graph, self.world.traffic
            return find_routes(self._engine, graph, traffic, demand.origin, demand.destination, usual)[0]

    def reports(self, from_ts: float, to_ts: float) -> list[Report]:
        """Everything that becomes known in [`from_ts`, `to_ts`): uploads, incidents and rain, in order of time."""
        found: list[Report] = []
        first, last = (self.day_at(at_ts).day for at_ts in (from_ts, to_ts))
        for day in range(max(first - 1, self.world.config.days), last + 1):
            of_day = self.day_at(start_ts(self.world.config, day))
            found += uploads_of(of_day, from_ts, to_ts)
            if day >= first:
                found += incidents_of(of_day, self.end_ts, from_ts, to_ts)
                found += rain_of(of_day, self.world.config.traffic.step_s, from_ts, to_ts)
        return sorted(found, key=lambda report: report[0])

    def standing(self, at_ts: float) -> list[Report]:
        """What was reported before `at_ts` and still holds: open incidents and the rain."""
        day = self.day_at(at_ts)
        incidents, step_s = day.found.state.incidents, self.world.config.traffic.step_s
        is_open = (incidents.reported_ts < at_ts) & (incidents.reported_ts >= self.end_ts) & (incidents.end_ts > at_ts)
        rain = list(rain_of(day, step_s, at_ts - step_s, at_ts))
        return [(at_ts, incident_report(day, int(row), is_cleared=False)) for row in np.flatnonzero(is_open)] + rain

    def _drawn(self, day: int) -> LiveDay:
        known = max(number for number in self._ends if number < day)
        for number in range(known + 1, day):
            self._ends[number] = draw_day(self.world, number, self._ends[number - 1])[1]
        found, self._ends[day] = draw_city_day(self._driven, self._engine, day, self._ends[day - 1])
        return self._live_day(day, found)

    def _live_day(self, day: int, found: CityDay) -> LiveDay:
        planned, edge_s = found.planned, found.edge_s
        factor = np.ones(len(edge_s))
        for from_ts, works in self._works:
            rows = np.flatnonzero(planned.reach_ts >= from_ts)
            factor[rows] = works[planned.routes.edges[rows]]
        edge_s = edge_s * factor
        uploads = make_uploads(planned.routes, planned.reach_ts, edge_s, found.late_s, ~found.is_cancelled)
        return LiveDay(day, start_ts(self.world.config, day), found, edge_s, uploads)


def uploads_of(day: LiveDay, from_ts: float, to_ts: float) -> Iterator[Report]:
    """The uploads of the day's background trips that are due in the interval."""
    planned, served = day.found.planned, day.found.served
    for row in day.uploads.between(from_ts, to_ts):
        trip = int(day.uploads.trip[row])
        yield upload_report(day.uploads, row, planned, day.edge_s, day.day * NUMBERED_FROM + trip, int(served[trip]))


def upload_report(uploads: Uploads, row: int, planned: Planned, seconds: Array, trip_id: int, driver_id: int) -> Report:
    """Upload `row`; `seconds` float64[m] belongs to the edges of the routes. A vehicle has its driver's number."""
    part = slice(int(uploads.first[row]), int(uploads.last[row]))
    return float(uploads.due_ts[row]), {
        "kind": "traversals",
        "vehicle_id": driver_id,
        "trip_id": trip_id,
        "number": int(uploads.number[row]),
        "driver_id": driver_id,
        "edges": planned.routes.edges[part].tolist(),
        "enter_ts": planned.reach_ts[part].round(3).tolist(),
        "seconds": np.maximum(seconds[part].round(2), 0.01).tolist(),
    }


def incidents_of(day: LiveDay, known_from_ts: float, from_ts: float, to_ts: float) -> Iterator[Report]:
    """Reports and clearances of the day. The log already contains incidents reported before `known_from_ts`."""
    incidents = day.found.state.incidents
    low, high = max(from_ts, day.begin_ts), min(to_ts, day.begin_ts + DAY_S)
    for row in np.flatnonzero(np.isfinite(incidents.reported_ts) & (incidents.reported_ts >= known_from_ts)).tolist():
        for at_ts, is_cleared in ((incidents.reported_ts[row], False), (incidents.end_ts[row], True)):
            if low <= at_ts < high:
                yield float(at_ts), incident_report(day, row, is_cleared=is_cleared)


def incident_report(day: LiveDay, row: int, *, is_cleared: bool) -> Mapping[str, Any]:
    incidents = day.found.state.incidents
    begin_ts, edge = float(incidents.begin_ts[row]), int(incidents.edge[row])
    return {
        "kind": "incident",
        "incident_id": int(begin_ts * 1000) * 100 + edge % 100,
        "edge": edge,
        "begin_ts": begin_ts,
        "reported_ts": float(incidents.reported_ts[row]),
        "cleared_ts": float(incidents.end_ts[row]) if is_cleared else 0.0,
    }


def rain_of(day: LiveDay, step_s: float, from_ts: float, to_ts: float) -> Iterator[Report]:
    """The rain observed at the beginning of each traffic step."""
    at_ts = day.begin_ts + np.arange(len(day.found.state.rain)) * step_s
    for step in np.flatnonzero((at_ts >= from_ts) & (at_ts < to_ts)).tolist():
        yield (
            float(at_ts[step]),
            {
                "kind": "weather",
                "at_ts": float(at_ts[step]),
                "rain": float(day.found.state.rain[step]),
            },
        )
