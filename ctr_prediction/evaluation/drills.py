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
            "Recently read users come from the cache, and their responses are not degraded. For the other users the "
            "service uses an expired row or the defaults of their segment: auctions meet the deadline, each of these "
            "responses is marked as degraded, and the breaker stops calls to the store."
        ),
        method=Inject("feature_store", "down", service="redis"),
        steady=(_ANSWERED, _IN_TIME, Probe("degraded_share", 0.0, _LIMIT["degraded_share"])),
        # half of a drill's users send one request only, so they miss the cache; the smoke world has too few users
        expect=(_ANSWERED, _IN_TIME, Probe("degraded_share", 0.3, 1.0), Probe("breaker_open_s", 0.0, 1.0, "s")),
        recover=(Probe("recovery_s", 0.0, 5.0, "s"),),
    ),
)
