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
            "Every request reads one row of the store. While the store is down, the service uses declared defaults: "
            "responses meet the deadline, each is marked as degraded, and the breaker stops calls to the store."
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
            "Slates need no broker. While the broker is down, responses meet the deadline and are not degraded. Log "
            "entries wait in a bounded buffer until the broker is back. The service rejects events with 503."
        ),
        method=Inject("stream", "down", service="kafka"),
        steady=(_ANSWERED, _IN_TIME, Probe("degraded_share", 0.0, _LIMIT["degraded_share"])),
        expect=(_ANSWERED, _IN_TIME, Probe("degraded_share", 0.0, _LIMIT["degraded_share"])),
        recover=(Probe("recovery_s", 0.0, 5.0, "s"),),
    ),
)
