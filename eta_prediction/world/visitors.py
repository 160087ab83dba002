"""The simulated people of `lab live`: riders that ask the running service for quotes, and the drivers of their trips.

They react by the mechanisms of the generated history: a late quote is cancelled more often, and the time of a trip has
the law of the world at its departure. A trip ends minutes after its quote, so its end is reported later, when the
world's clock reaches it. Measures count a trip at its quote. In the background, the rest of the city drives on and
uploads its traversals (`world.live_city`). Only the lab uses this module, through `Design.people`. Serving and training
must not import it.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from eta_prediction.config import EtaConfig
from eta_prediction.domain import ARRIVED, CANCELLED, NONE, RIDE_TYPES, Array
from eta_prediction.world.demand import Demand
from eta_prediction.world.history import Planned, draw_served, draw_times, draw_traversals, driving_s, queues_s
from eta_prediction.world.law.trip_law import draw_factor, draw_overheads
from eta_prediction.world.live_city import LiveCity, Report, upload_report
from eta_prediction.world.riders import p_cancel
from eta_prediction.world.shift import busiest_bridge, shifted
from eta_prediction.world.uploads import make_uploads
from infra.evaluation.population import Events, Measure, Sums
from infra.simulation.streams import stream

EXPLORE_SHARE = 0.1
ASSIGNED_SHARE = 0.7
"""share of quotes for riders that have a driver"""
DRAWS = 256
"""draws of a trip's time from which the expected measures come"""
PICKED_UP = "picked_up"

MEASURES = (
    Measure("error_min", "mean absolute error of P50, of trips that arrive", "min"),
    Measure("bias_min", "mean P50 minus the time, of trips that arrive", "min"),
    Measure("coverage", "share of arriving trips between P10 and P90"),
    Measure("late", "share of arriving trips that take longer than quoted"),
    Measure("cancelled", "share of quotes that riders cancel"),
)


class Visitors:
    """The population of one world: its riders, and the vehicles of the whole city."""

    measures = MEASURES
    events_path = "/v1/events"
    publish_path = "/v1/reports"
    publish_field = "reports"
    until_ts = float("inf")

    def __init__(self, config: EtaConfig, seed: int) -> None:
        self.city, self.seed = LiveCity(config.world), seed
        first = self.city.day_at(self.city.end_ts).found.planned
        self._pool, self._original = first.demand, self.city.world
        self._bridge = busiest_bridge(config.world.city, self._original.graph, first.routes)
        self._publishing, self._published_ts = threading.Lock(), float("-inf")
        self._due: list[tuple[float, int, Mapping[str, Any]]] = []
        self._lock, self._number, self._has_begun = threading.Lock(), 0, False

    def gaps_s(self, rate_per_s: float) -> Iterator[float]:
        """Exponential gaps between quotes, because riders are independent."""
        rng = stream(self.seed, "arrivals")
        while True:
            yield float(rng.exponential(1 / rate_per_s))

    def shift(self, size: float) -> None:
        """Put road works on the busiest bridge, or take them away with a size of 0. Trips of later visits meet them,
        and vehicles of the background from the time of the last publication on."""
        with self._publishing:
            self.city.shift(shifted(self._original, self._bridge, size), self._published_ts)

    def visit(self, number: int) -> RiderVisit:
        return RiderVisit(self.city, self._pool, self.seed, number, self._later)

    def publications(self, from_ts: float, to_ts: float) -> Sequence[Mapping[str, Any]]:
        """Reports that are due by `to_ts`, each once: those of the riders' trips, also if due before `from_ts`, and
        those of the city. The first call adds what already holds, such as open incidents."""
        with self._publishing:
            found: list[Report] = [] if self._has_begun else self.city.standing(from_ts)
            self._has_begun = True
            found += self.city.reports(from_ts, to_ts)
            self._published_ts = to_ts
        with self._lock:
            while self._due and self._due[0][0] < to_ts:
                due_ts, _, report = heapq.heappop(self._due)
                found.append((due_ts, report))
        return [report for _, report in sorted(found, key=lambda one: one[0])]

    def _later(self, reports: Sequence[Report]) -> None:
        with self._lock:
            for due_ts, report in reports:
                self._number += 1
                heapq.heappush(self._due, (due_ts, self._number, report))


class RiderVisit:
    """One rider: the request for a quote, then a cancellation or a trip. A rider is like one of the first day after the
    history, at any hour."""

    def __init__(
        self, city: LiveCity, pool: Demand, seed: int, number: int, later: Callable[[Sequence[Report]], None]
    ) -> None:
        self._city, self._world, self._later, self._is_over = city, city.world, later, False
        self._rng, self._expected_rng = stream(seed, "visits", number), stream(seed, "expected", number)
        row = int(self._rng.integers(len(pool)))
        self.origin, self.destination = int(pool.origin[row]), int(pool.destination[row])
        self.ride_type, self._driver = int(pool.ride_type[row]), int(pool.driver[row])
        self.rider_id = number
        self.driver_id = self._driver if self._rng.random() < ASSIGNED_SHARE else NONE
        self._observed, self._expected = ({item.id: (0.0, 0.0) for item in MEASURES} for _ in range(2))

    @property
    def observed(self) -> Sums:
        return self._observed

    @property
    def expected(self) -> Sums:
        return self._expected

    def question(self) -> Mapping[str, Any] | None:
        if self._is_over:
            return None
        self._is_over = True
        return {
            "origin": {"node": self.origin},
            "destination": {"node": self.destination},
            "ride_type": RIDE_TYPES[self.ride_type],
            "rider_id": self.rider_id,
            "driver_id": None if self.driver_id == NONE else self.driver_id,
            "knobs": {"explore_share": EXPLORE_SHARE},
        }

    def react(self, answer: Mapping[str, Any]) -> Events:
        """Draw the reaction to a quote and, if the rider stays, the trip. The trip's reports are sent when they are
        due.

        Raises `KeyError` or `TypeError` if the response is malformed."""
        quoted_s, rng, world = 60 * float(answer["quoted_min"]), self._rng, self._world
        band_s = 60 * np.array([answer[name] for name in ("p10_min", "p50_min", "p90_min")], np.float64)
        departure_ts = float(answer["departure_ts"])
        ends = (np.array([one], np.int64) for one in (self.origin, self.destination, self.ride_type, self._driver))
        demand = Demand(np.array([departure_ts]), *ends)
        edges = np.array(answer["edges"], np.int64)
        planned = self._city.planned(world, demand, edges if len(edges) else self._city.usual_route(demand))
        state = self._city.day_at(departure_ts).found.state
        free_s = planned.routes.total(world.graph.free_s[planned.routes.edges])
        p = float(p_cancel(world.config.riders, np.array([quoted_s]), free_s)[0])
        is_cancelled = bool(rng.random() < p)
        served = draw_served(world, demand.driver, rng)
        time_s = float(draw_times(world, state, planned, served, rng)[0])
        arrives = 0.0 if is_cancelled else 1.0
        self._observed |= sums_of(np.array([time_s]), arrives, quoted_s, band_s)
        self._expected |= sums_of(self._possible_s(planned), 1 - p, quoted_s, band_s)
        if is_cancelled:
            return {"trips": [self._event(answer, CANCELLED, float(answer["request_ts"]), quoted_s, NONE)]}
        self._drive(answer, planned, departure_ts + time_s, quoted_s, int(served[0]))
        return {}

    def _possible_s(self, planned: Planned) -> Array:
        """float64[DRAWS]: times that the trip may take, given the traffic that it meets."""
        world, rng, trips = self._world, self._expected_rng, planned.trips
        state = self._city.day_at(float(planned.demand.at_ts[0])).found.state
        on_road = driving_s(state, planned.parts, 1) + trips.turns_s + queues_s(state.incidents, planned)
        factor = draw_factor(world.config.trips, trips, rng, DRAWS)
        found: Array = (draw_overheads(world.config.trips, trips, rng, DRAWS) + factor * on_road)[:, 0]
        return found

    def _drive(
        self, answer: Mapping[str, Any], planned: Planned, arrival_ts: float, quoted_s: float, served: int
    ) -> None:
        """Put off the reports of the trip until they are due."""
        world, rng, departure_ts = self._world, self._rng, float(planned.demand.at_ts[0])
        state, uploads = self._city.day_at(departure_ts).found.state, world.config.uploads
        edge_s = draw_traversals(world, state, planned, rng)
        is_late, delay_s = rng.random(1) < uploads.late_share, rng.exponential(60 * uploads.late_min, 1)
        parts = make_uploads(
            planned.routes, planned.reach_ts, edge_s, np.where(is_late, delay_s, 0.0), np.ones(1, np.bool_)
        )
        kerb_s = min(float(np.exp(planned.trips.log_pick_up[0])), (arrival_ts - departure_ts) / 2)
        reports = [
            upload_report(parts, row, planned, edge_s, int(answer["quote_id"]), served)
            for row in range(len(parts.due_ts))
        ]
        for status, at_ts in ((PICKED_UP, departure_ts + kerb_s), (ARRIVED, arrival_ts)):
            reports.append((at_ts, {"kind": "trip", **self._event(answer, status, at_ts, quoted_s, served)}))
        self._later(reports)

    def _event(
        self, answer: Mapping[str, Any], status: str, at_ts: float, quoted_s: float, served: int
    ) -> dict[str, Any]:
        return {
            "quote_id": answer["quote_id"],
            "status": status,
            "reason": "quote" if status == CANCELLED else "",
            "request_ts": answer["request_ts"],
            "at_ts": at_ts,
            "origin": self.origin,
            "destination": self.destination,
            "ride_type": self.ride_type,
            "driver_id": self.driver_id,
            "served_driver_id": served,
            "quoted_s": quoted_s,
            "policy": answer["policy"],
            "propensity": answer["propensity"],
        }


def sums_of(time_s: Array, arrives: float, quoted_s: float, band_s: Array) -> dict[str, tuple[float, float]]:
    """The sums of one quote, if its trip takes one of the equally likely times `time_s` float64[d] and arrives with
    probability `arrives`. `band_s` float64[3] is P10, P50 and P90."""
    values = {
        "error_min": np.abs(time_s - band_s[1]) / 60,
        "bias_min": (band_s[1] - time_s) / 60,
        "coverage": (time_s >= band_s[0]) & (time_s <= band_s[2]),
        "late": time_s > quoted_s,
    }
    found = {name: (arrives * float(value.mean()), arrives) for name, value in values.items()}
    return found | {"cancelled": (1 - arrives, 1.0)}
