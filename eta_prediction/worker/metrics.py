"""Online metrics, counted from quotes and the ends of their trips. `lab live` prints the values that the oracle
expects."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge

from eta_prediction.domain import ARRIVED, CANCELLED, RIDE_TYPES
from eta_prediction.events.schemas import PICKED_UP, Quote, Trip
from eta_prediction.features.speeds import Speeds
from eta_prediction.worker.driver_log import Arrival, Expected

STATUSES = (PICKED_UP, ARRIVED, CANCELLED)
TRAFFIC, HOURS, WEATHERS = ("live", "static"), ("quiet", "busy"), ("dry", "rain")
SLICE = ("ride_type", "traffic", "hours", "weather")
"""labels of the counters of arrived trips"""


class OnlineMetrics:
    """The worker's counters. The ratio of two counters is a figure per trip or per traversal."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"lab_online_{name}", text, labels, registry=registry)

        self.quotes = counter("quotes", "quotes, by the model that answered", "model")
        self.trips = counter("trips", "events of trips", "status")
        self.judged = counter(
            "judged_trips", "arrived trips whose quote is known; the next counters are sums over them", *SLICE
        )
        self.error_min = counter("error_minutes", "absolute error of P50, in minutes", *SLICE)
        self.predicted_min = counter("predicted_minutes", "sum of P50, in minutes", *SLICE)
        self.actual_min = counter("actual_minutes", "sum of the actual times, in minutes", *SLICE)
        self.covered = counter("covered_trips", "trips between P10 and P90", *SLICE)
        self.traversals = counter("traversals", "traversals of edges that vehicles uploaded")
        self.late = counter("late_traversals", "traversals that became known more than 5 minutes after their end")
        self.states = counter("road_states", "states of the roads that the worker has written")
        self.probes = Gauge(
            "lab_online_probes", "decayed number of traversals behind the newest speeds", registry=registry
        )
        self.made_ts = Gauge("lab_online_speeds_ts", "world time of the newest speeds, in seconds", registry=registry)
        # export zeros: Prometheus' `increase` misses the first value of a new series
        for status in STATUSES:
            self.trips.labels(status)
        for labels in product(RIDE_TYPES, TRAFFIC, HOURS, WEATHERS):
            for one in (self.judged, self.error_min, self.predicted_min, self.actual_min, self.covered):
                one.labels(*labels)

    def count_quotes(self, quotes: Sequence[Quote]) -> None:
        for one in quotes:
            self.quotes.labels(one.model).inc()

    def count_trips(self, trips: Sequence[Trip]) -> None:
        for one in trips:
            status = one.status if one.status in STATUSES else "other"  # bounds the label values
            self.trips.labels(status).inc()

    def judge(self, arrivals: Sequence[Arrival]) -> None:
        for one in arrivals:
            p10, p50, p90 = one.expected.quantiles
            labels = slice_of(one.expected)
            self.judged.labels(*labels).inc()
            self.error_min.labels(*labels).inc(abs(one.seconds - p50) / 60)
            self.predicted_min.labels(*labels).inc(p50 / 60)
            self.actual_min.labels(*labels).inc(one.seconds / 60)
            self.covered.labels(*labels).inc(p10 <= one.seconds <= p90)

    def count_traversals(self, number: int, late: int) -> None:
        self.traversals.inc(number)
        self.late.inc(late)

    def made(self, speeds: Speeds) -> None:
        self.states.inc()
        self.probes.set(float(speeds.observed.sum()))
        self.made_ts.set(speeds.made_ts)


def slice_of(expected: Expected) -> tuple[str, str, str, str]:
    """The values of the labels `SLICE`."""
    ride_type, traffic = RIDE_TYPES[expected.ride_type], expected.traffic
    return ride_type, traffic, HOURS[expected.is_busy], WEATHERS[expected.is_rainy]
