"""The failure drills of ride ETA, as data. `lab drills` lists them."""

from __future__ import annotations

from eta_prediction.config import BUDGETS, FeatureConfig, RouteConfig
from infra.evaluation.drill import Drill, Inject, Probe

_LIMIT = {budget.name: budget.limit for budget in BUDGETS}
_ANSWERED = Probe("success_share", _LIMIT["success_share"], 1.0)
_IN_TIME = Probe("p99_ms", 0.0, _LIMIT["p99_ms"], "ms")
_STEADY = (_ANSWERED, _IN_TIME, Probe("degraded_share", 0.0, _LIMIT["degraded_share"]))
_EXPIRES_S = RouteConfig().speeds_ttl_s + 5.0
"""time after which the last state of the roads that a stopped worker wrote is too old"""
_RENEWED = (Probe("recovery_s", 0.0, FeatureConfig().speeds_every_s, "s"),)
"""a worker that has started again reads its log and the backlog before it writes the next state of the roads"""
_RECOVERS = (Probe("recovery_s", 0.0, 5.0, "s"),)

DRILLS = (
    Drill(
        name="traffic_feed_down",
        title="Quotes survive a traffic feed that is down",
        hypothesis=(
            "Without a fresh state of the roads, routes and predictions use the usual traffic of the hour. The model "
            "that was trained without live inputs answers, so its intervals are wider and still right. Every quote "
            "meets the deadline and is marked as degraded."
        ),
        method=Inject("traffic", "stale", service="eta-worker", effect_after_s=_EXPIRES_S),
        steady=_STEADY,
        expect=(_ANSWERED, _IN_TIME, Probe("degraded_share", 0.99, 1.0)),
        recover=_RENEWED,
    ),
    Drill(
        name="driver_store_down",
        title="Quotes survive a feature store that is down",
        hypothesis=(
            "Recently read drivers come from the cache. For the others the service predicts without the driver's "
            "habit: quotes meet the deadline, each of these is marked as degraded, and the breaker stops calls to the "
            "store."
        ),
        method=Inject("feature_store", "down", service="redis"),
        steady=_STEADY,
        expect=(_ANSWERED, _IN_TIME, Probe("degraded_share", 0.05, 1.0), Probe("breaker_open_s", 0.0, 1.0, "s")),
        recover=_RECOVERS,
    ),
)
