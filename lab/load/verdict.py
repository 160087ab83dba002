"""Judges a load run by the budgets that the service declares, and summarises an overload run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.evaluation.shares import Judgement, Share
from lab.load.machine import Conditions

Figures = Mapping[str, Any]
"""The figures of a run; `loadtests/tally.py` writes them."""


@dataclass(frozen=True)
class BudgetRow:
    """One budget, its measured value and its judgement. A share also has its 95% interval."""

    budget: str
    value: float
    limit: float
    unit: str
    judgement: Judgement
    interval: tuple[float, float] | None = None

    def row(self) -> dict[str, Any]:
        """The row as JSON values."""
        return {
            "budget": self.budget,
            "value": self.value,
            "interval": self.interval,
            "limit": self.limit,
            "unit": self.unit,
            "judgement": self.judgement.value,
        }


def judge(figures: Figures, budgets: Sequence[Mapping[str, Any]], conditions: Conditions) -> list[BudgetRow]:
    """Return one row for each budget that a load run measures.

    A budget that breaks on a disturbed machine is inconclusive. If wrong responses alone break `success_share`, the
    budget is broken on any machine.
    """
    shares = {
        "success_share": Share(figures["ok"], figures["requests"]),
        "degraded_share": Share(figures["degraded"], figures["ok"]),
    }
    rows = []
    for budget in budgets:
        name, limit, unit, is_most = budget["name"], budget["limit"], budget["unit"], budget["kind"] == "at_most"
        if name in shares:
            share, within = shares[name], (0.0, limit) if is_most else (limit, 1.0)
            excuse = conditions.excuse_degraded if name == "degraded_share" else conditions.excuse
            judgement = excuse(share.judge(*within))
            if name == "success_share" and correct_share(figures).judge(*within) is Judgement.BROKEN:
                judgement = Judgement.BROKEN
            rows.append(BudgetRow(name, share.value, limit, unit, judgement, share.interval()))
        elif name in figures:
            holds = figures[name] <= limit if is_most else figures[name] >= limit
            judgement = conditions.excuse(Judgement.HOLDS if holds else Judgement.BROKEN)
            rows.append(BudgetRow(name, figures[name], limit, unit, judgement))
    return rows


def correct_share(figures: Figures) -> Share:
    """Share of requests without a wrong response. Shed and unanswered requests are not wrong: load explains them."""
    return Share(figures["requests"] - figures["wrong"], figures["requests"])


@dataclass(frozen=True)
class Overload:
    """Behaviour of a service under more load than it can serve.

    The service sheds requests with 503 to answer the admitted ones within `limit_ms`, the design's p99 budget. `shed`
    and `in_limit` have no limit here. A wrong response is a failure at any load.
    """

    shed: Share
    in_limit: Share
    limit_ms: float
    p99_ms: float
    wrong: int
    unanswered: int

    @classmethod
    def of(cls, figures: Figures) -> Overload:
        return cls(
            shed=Share(figures["shed"], figures["requests"]),
            in_limit=Share(figures["in_limit"], figures["ok"]),
            limit_ms=figures["limit_ms"],
            p99_ms=figures["ok_p99_ms"],
            wrong=figures["wrong"],
            unanswered=figures["unanswered"],
        )

    def rows(self) -> list[tuple[str, float, str]]:
        """Rows of (description, value, unit) for a table."""
        return [
            ("requests that were shed (503)", self.shed.value, ""),
            ("admitted: p99", self.p99_ms, "ms"),
            (f"admitted: answered within the promised {self.limit_ms:g} ms", self.in_limit.value, ""),
            ("wrong answers", self.wrong, ""),
            ("no answer", self.unanswered, ""),
        ]
