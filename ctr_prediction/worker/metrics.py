"""Online metrics, counted from impressions and clicks. `lab live` prints the oracle's expected values beside them."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter

from ctr_prediction.domain import RANDOM_POLICY, SERVING_POLICY
from ctr_prediction.events.schemas import Click, Impression

POLICIES = (SERVING_POLICY, RANDOM_POLICY)


class OnlineMetrics:
    """The worker's counters. The ratio of two counters is a figure per impression or per click."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"lab_online_{name}", text, labels, registry=registry)

        self.impressions = counter("impressions", "ads shown on a page", "policy")
        self.predicted = counter("predicted_clicks", "sum of the predicted click probabilities of these impressions")
        self.clicks = counter("clicks", "reported clicks")
        self.revenue = counter("revenue", "price of the reported clicks, in money")
        for policy in POLICIES:
            self.impressions.labels(policy)

    def count_impressions(self, impressions: Sequence[Impression]) -> None:
        for one in impressions:
            policy = (
                one.policy if one.policy in POLICIES else "other"
            )  # bounds the label values: apps may send any text
            self.impressions.labels(policy).inc()
            self.predicted.inc(one.p_click)

    def clicked(self, clicks: Sequence[Click]) -> None:
        for one in clicks:
            self.clicks.inc()
            self.revenue.inc(one.price)
