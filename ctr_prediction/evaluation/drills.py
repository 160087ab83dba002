"""The failure drills of the ads, as data. `lab drills` lists them."""

from __future__ import annotations

from ctr_prediction.config import BUDGETS
from infra.evaluation.drill import Drill, Inject, Probe

_LIMIT = {budget.name: budget.limit for budget in BUDGETS}
_ANSWERED = Probe("success_share", _LIMIT["success_share"], 1.0)
_IN_TIME = Probe("p99_ms", 0.0, _LIMIT["p99_ms"], "ms")

DRILLS = (
    Drill(
        name="feature_store_down",
        title="Auctions survive a feature store that is down",
        hypothesis=(
            "Users who were read a moment ago come from the cache, and nothing is missing. Of the others an older row "
            "or the defaults of their segment stand in: auctions are held in time, each of those says that it is "
            "degraded, and the breaker spares the store until it is back."
        ),
        method=Inject("feature_store", "down", service="redis"),
        steady=(_ANSWERED, _IN_TIME, Probe("degraded_share", 0.0, _LIMIT["degraded_share"])),
        # half of a drill's users come once, and those are not in the cache; the smoke world is too small for it
        expect=(_ANSWERED, _IN_TIME, Probe("degraded_share", 0.3, 1.0), Probe("breaker_open_s", 0.0, 1.0, "s")),
        recover=(Probe("recovery_s", 0.0, 5.0, "s"),),
    ),
)
