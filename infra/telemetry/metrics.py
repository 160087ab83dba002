"""The metrics of one service, in Prometheus conventions: base units, `_total`, no ids of users or items.

Invariant: while no request is in flight, `lab_requests_total` equals the sum of `lab_responses_total` over all
outcomes.
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from infra.design import Design
from infra.pipeline.trace import Trace
from infra.telemetry.stage_tally import StageTally

FEATURE_AGE_HOURS = (0.1, 0.5, 1, 2, 6, 12, 24, 48, 96, 168)
OUTCOMES = ("ok", "degraded", "shed", "failed", "rejected")


def latency_buckets(budget_ms: float) -> list[float]:
    """Return bucket edges in seconds around a budget. The budget is one edge.

    The share of requests within the budget is therefore exact and not interpolated.
    """
    shares = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.375, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0)
    return [round(budget_ms * share / 1000, 6) for share in shares]


class ServiceMetrics:
    """The metrics of one service. Each object has its own registry, so two apps in one process share no counters."""

    def __init__(self, design: Design) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # omits the unused `_created` series
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        budget = next((b.limit for b in design.budgets if b.unit == "ms"), 1000.0)
        buckets = latency_buckets(budget)
        self.requests = Counter("lab_requests", "requests received", registry=self.registry)
        self.responses = Counter("lab_responses", "requests by outcome", ["outcome"], registry=self.registry)
        self.latency = Histogram(
            "lab_request_seconds", "time from the first byte to the response", buckets=buckets, registry=self.registry
        )
        self.stages = StageTally(buckets, self.registry)
        self.degraded = Counter("lab_degraded", "degraded responses by reason", ["reason"], registry=self.registry)
        self.breaker = Gauge(
            "lab_breaker_state", "0 closed, 1 half open, 2 open", ["dependency"], registry=self.registry
        )
        self.model = Gauge(
            "lab_model_info", "name and version of the served model", ["name", "version"], registry=self.registry
        )
        self.swaps = Counter("lab_release_swaps", "releases loaded, by result", ["result"], registry=self.registry)
        self.model_released = Gauge(
            "lab_model_released_timestamp_seconds", "release time of the served model", registry=self.registry
        )
        self.feature_age = Histogram(
            "lab_feature_age_seconds",
            "age of the feature rows that were read, in world time",
            buckets=[hours * 3600.0 for hours in FEATURE_AGE_HOURS],
            registry=self.registry,
        )
        # created at zero, because alerts need existing series; cached, because the label look-up is the main cost
        self.degraded.labels("features_stale")
        self._outcomes = {outcome: self.responses.labels(outcome) for outcome in OUTCOMES}

    def observe(self, trace: Trace) -> None:
        """Record the stages of one answered request."""
        self.stages.observe(trace)
        self.count_degraded(trace)

    def count_degraded(self, trace: Trace) -> None:
        """Count the reasons of a degraded response, for an endpoint whose stages `observe` does not record."""
        for reason in trace.degraded:
            self.degraded.labels(reason).inc()

    def ended(self, outcome: str) -> None:
        """Count a response by one of `OUTCOMES`."""
        self._outcomes[outcome].inc()

    def serving(self, name: str, version: int, released_ts: float) -> None:
        self.model.clear()
        self.model.labels(name, str(version)).set(1)
        self.model_released.set(released_ts)

    def expose(self) -> bytes:
        """Return all metrics in the text exposition format."""
        text: bytes = generate_latest(self.registry)
        return text
