"""Holds a load run against the budgets that the service itself declares; a broken one makes Locust exit with 3.

Percentiles come from Locust's own response times, which it rounds above 100 ms to two figures.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
from locust import events
from locust.env import Environment

BROKEN = 3
MIN_REQUESTS = 1000
"""With fewer, a share of 0.999 cannot be told from 1."""


def measured(environment: Environment, degraded: int) -> dict[str, float]:
    """The figures that budgets can name, over the whole run."""
    total = environment.stats.total
    answered = max(1, total.num_requests)
    return {
        "requests": total.num_requests,
        "p50_ms": float(total.get_response_time_percentile(0.50) or 0),
        "p99_ms": float(total.get_response_time_percentile(0.99) or 0),
        "success_share": 1 - total.num_failures / answered,
        "degraded_share": degraded / answered,
        "requests_per_s": float(total.total_rps),
    }


def judge(figures: Mapping[str, float], budgets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per budget that was measured: name, limit, value and whether it holds."""
    rows = []
    for budget in budgets:
        if budget["name"] in figures:
            value, limit = figures[budget["name"]], budget["limit"]
            holds = value <= limit if budget["kind"] == "at_most" else value >= limit
            rows.append(
                {"budget": budget["name"], "value": value, "limit": limit, "unit": budget["unit"], "holds": holds}
            )
    return rows


class DegradedCounter:
    """Counts answers that say that they are degraded."""

    def __init__(self) -> None:
        self.count = 0


def watch_budgets(counter: DegradedCounter) -> None:
    """When the run ends, write the verdict to the file that LAB_VERDICT names and set the exit code."""

    @events.quitting.add_listener
    def on_quitting(environment: Environment, **_: Any) -> None:
        figures = measured(environment, counter.count)
        design = requests.get(f"{environment.host}/v1/design", timeout=5).json()
        rows = judge(figures, design["budgets"])
        enough = figures["requests"] >= MIN_REQUESTS
        passed = enough and all(row["holds"] for row in rows)
        verdict = {"passed": passed, "enough_requests": enough, "figures": figures, "budgets": rows}
        if path := os.environ.get("LAB_VERDICT"):
            Path(path).write_text(json.dumps(verdict, indent=2))
        if not passed:
            environment.process_exit_code = BROKEN
