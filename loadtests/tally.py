"""Counts the requests of a run by outcome.

`lab load` judges the counts by the budgets of the service (`lab/load/verdict.py`), because it also measures how busy
the machine is. The tally computes percentiles from raw latencies: Locust rounds latencies above 100 ms to two digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

OUTCOMES = ("ok", "shed", "unanswered", "wrong")
"""Outcomes of a request, in this order: 200 with results; 503; no response in time; any other status, or no results."""


@dataclass
class Tally:
    """Latencies by outcome (`latency_ms`) and lateness of the load generator per request (`late_ms`).

    `apart_ms` has the latencies of good responses to other kinds of request, which have budgets of their own.
    """

    latency_ms: dict[str, list[float]] = field(default_factory=lambda: {outcome: [] for outcome in OUTCOMES})
    late_ms: list[float] = field(default_factory=list)
    apart_ms: dict[str, list[float]] = field(default_factory=dict)
    degraded: int = 0

    def take(self, response: Any, rows: str, kind: str = "") -> dict[str, Any]:
        """Count one response, whose results have the key `rows`, and report a failure to Locust. Returns the decoded
        response, empty for any outcome other than `ok`. A good response of another `kind` counts apart."""
        answer: dict[str, Any] = response.json() if response.status_code == 200 else {}
        outcome = outcome_of(response.status_code, is_empty=not answer.get(rows))
        ms = float(response.request_meta["response_time"])
        if kind and outcome == "ok":
            self.apart_ms.setdefault(kind, []).append(ms)
        else:
            self.latency_ms[outcome].append(ms)
            self.degraded += bool(answer.get("degraded"))
        if outcome != "ok":
            response.failure(f"{outcome}: status {response.status_code}")
        return answer if outcome == "ok" else {}

    def figures(self, limit_ms: float, seconds: float) -> dict[str, Any]:
        """Counts and percentiles of the whole run. `limit_ms` is the design's p99 budget; `seconds` is its length."""
        ok, every = self.latency_ms["ok"], [ms for found in self.latency_ms.values() for ms in found]
        return {
            "requests": len(every),
            **{outcome: len(found) for outcome, found in self.latency_ms.items()},
            "degraded": self.degraded,
            "in_limit": sum(ms <= limit_ms for ms in ok),
            "limit_ms": limit_ms,
            "p50_ms": quantile(every, 0.50),
            "p99_ms": quantile(every, 0.99),
            "ok_p99_ms": quantile(ok, 0.99),
            "late_p99_ms": quantile(self.late_ms, 0.99),
            "served_per_s": len(ok) / seconds,
            **{f"{kind}_p99_ms": quantile(found, 0.99) for kind, found in self.apart_ms.items()},
        }


def outcome_of(status: int, *, is_empty: bool) -> str:
    """Return the outcome, one of `OUTCOMES`. Locust reports status 0 if no response came."""
    if status == 503:
        return "shed"
    if status == 0:
        return "unanswered"
    return "wrong" if status != 200 or is_empty else "ok"


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` of the values do not exceed; 0 without values."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else 0.0
