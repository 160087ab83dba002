"""The feed's failure drills, as data. `lab drills` lists them."""

from __future__ import annotations

from feed_ranking.config import BUDGETS
from infra.evaluation.drill import Drill, Inject, Probe

_LIMIT = {budget.name: budget.limit for budget in BUDGETS}
_ANSWERED = Probe("success_share", _LIMIT["success_share"], 1.0)
_IN_TIME = Probe("p99_ms", 0.0, _LIMIT["p99_ms"], "ms")

DRILLS = (
    Drill(
        name="feature_store_down",
        title="The feed survives a feature store that is down",
        hypothesis=(
            "Every request reads one row of the store. While it is down, declared defaults stand in: answers come in "
            "time, each says that it is degraded, and the breaker spares the store until it is back."
        ),
        method=Inject("feature_store", "down", service="redis"),
        steady=(_ANSWERED, _IN_TIME, Probe("degraded_share", 0.0, _LIMIT["degraded_share"])),
        expect=(_ANSWERED, _IN_TIME, Probe("degraded_share", 0.99, 1.0), Probe("breaker_open_s", 0.0, 1.0, "s")),
        recover=(Probe("recovery_s", 0.0, 5.0, "s"),),
    ),
    Drill(
        name="stream_down",
        title="The feed serves without its event stream",
        hypothesis=(
            "Answers need no broker: while it is down they come in time and whole. What is to be logged waits in a "
            "bounded buffer and arrives when the broker is back; what would have to be acknowledged is refused."
        ),
        method=Inject("stream", "down", service="kafka"),
        steady=(_ANSWERED, _IN_TIME, Probe("degraded_share", 0.0, _LIMIT["degraded_share"])),
        expect=(_ANSWERED, _IN_TIME, Probe("degraded_share", 0.0, _LIMIT["degraded_share"])),
        recover=(Probe("recovery_s", 0.0, 5.0, "s"),),
    ),
)
