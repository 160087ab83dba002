"""Online metrics, counted from quotes and the ends of their trips. `lab live` prints the values that the oracle
expects."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

from eta_prediction.domain import ARRIVED, CANCELLED
from eta_prediction.events.schemas import PICKED_UP, Trip
from eta_prediction.features.speeds import Speeds
from eta_prediction.worker.driver_log import Arrival

STATUSES = (PICKED_UP, ARRIVED, CANCELLED)


class OnlineMetrics:
    """The worker's counters. The ratio of two counters is a figure per trip or per traversal."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"lab_online_{name}", text, labels, registry=registry)

        self.trips = counter("trips", "events of trips", "status")
        self.judged = counter(
            "judged_trips", "arrived trips whose quote is known; the next counters are sums over them"
        )
        self.error_min = counter("error_minutes", "absolute error of P50, in minutes")
        self.covered = counter("covered_trips", "trips between P10 and P90")
        self.traversals = counter("traversals", "traversals of edges that vehicles uploaded")
        self.late = counter("late_traversals", "traversals that became known more than 5 minutes after their end")
        self.states = counter("road_states", "states of the roads that the worker has written")
        self.probes = Gauge(
            "lab_online_probes", "decayed number of traversals behind the newest speeds", registry=registry
        )
        self.made_ts = Gauge("lab_online_speeds_ts", "world time of the newest speeds, in seconds", registry=registry)
        for status in STATUSES:
            self.trips.labels(status)

    def count_trips(self, trips: Sequence[Trip]) -> None:
        for one in trips:
            status = one.status if one.status in STATUSES else "other"  # bounds the label values
            self.trips.labels(status).inc()

    def judge(self, arrivals: Sequence[Arrival]) -> None:
        for one in arrivals:
            p10, p50, p90 = one.expected.quantiles
            self.judged.inc()
            self.error_min.inc(abs(one.seconds - p50) / 60)
            self.covered.inc(p10 <= one.seconds <= p90)

    def count_traversals(self, number: int, late: int) -> None:
        self.traversals.inc(number)
        self.late.inc(late)

    def made(self, speeds: Speeds) -> None:
        self.states.inc()
        self.probes.set(float(speeds.observed.sum()))
        self.made_ts.set(speeds.made_ts)
