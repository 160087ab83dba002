"""Prints the results of a load run, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.evaluation.shares import Judgement
from lab.load.loading import LoadRun
from lab.load.verdict import BudgetRow, Overload
from lab.output.console import err, print_table


def verdict_json(run: LoadRun, rows: Sequence[BudgetRow]) -> dict[str, Any]:
    """Return a judged load run as JSON values."""
    judgement = Judgement.of_all(row.judgement for row in rows)
    return {
        "judgement": judgement.value,
        "passed": judgement is Judgement.HOLDS,
        **_measured(run),
        "budgets": [row.row() for row in rows],
    }


def overload_json(run: LoadRun, seen: Overload) -> dict[str, Any]:
    """Return an overload run as JSON values."""
    shares = {"shed_share": seen.shed, "in_limit_share": seen.in_limit}
    return {
        **_measured(run),
        "overload": {name: {"value": share.value, "interval": share.interval()} for name, share in shares.items()},
    }


def show_verdict(run: LoadRun, rows: Sequence[BudgetRow], report: Path) -> None:
    """Print the budgets on standard output, the conditions and the report's path on standard error."""
    columns = ("budget", "measured", "95% interval", "limit", "unit", "")
    cells = [
        [row.budget, row.value, _interval(row.interval), row.limit, row.unit, _word(row.judgement)] for row in rows
    ]
    print_table(columns, cells, title=_rates(run))
    _show_conditions(run, report)


def show_overload(run: LoadRun, seen: Overload, report: Path) -> None:
    """Print the shed share and the latency of admitted requests on standard output, the rest on standard error."""
    print_table(("overload", "measured", "unit"), seen.rows(), title=_rates(run))
    if not seen.shed.hits:
        err.print("no request was shed: the service kept up, or the generator reached its limit; try more --users")
    _show_conditions(run, report)


def _measured(run: LoadRun) -> dict[str, Any]:
    return {"asked_per_s": run.asked_per_s, "figures": run.figures, "machine": run.conditions.row()}


def _rates(run: LoadRun) -> str:
    """State the number of requests, and the requested and the served rate."""
    requests, served = run.figures["requests"], run.figures["served_per_s"]
    return f"{requests:,} requests; {run.asked_per_s:.0f}/s asked for, {served:.1f}/s served"


def _interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f}"


def _word(judgement: Judgement) -> str:
    return judgement.upper() if judgement is Judgement.BROKEN else judgement


def _show_conditions(run: LoadRun, report: Path) -> None:
    err.print(run.conditions.describe(), markup=False, soft_wrap=True)
    for text in run.conditions.disturbances:
        err.print(f"busy machine: {text}", markup=False, soft_wrap=True)
    err.print(f"report: {report}", soft_wrap=True)
