"""Writes the figures of a run to a file when Locust ends the run."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import requests
from locust import events
from locust.env import Environment

from loadtests.tally import Tally


def write_at_end(tally: Tally) -> None:
    """Register listeners that write the figures of the run, at its end, to the file that LAB_FIGURES names."""
    began = [time.perf_counter()]

    @events.test_start.add_listener
    def on_start(environment: Environment, **_: Any) -> None:
        began[0] = time.perf_counter()

    @events.test_stop.add_listener
    def on_stop(environment: Environment, **_: Any) -> None:
        seconds = time.perf_counter() - began[0]
        if path := os.environ.get("LAB_FIGURES"):
            budgets = requests.get(f"{environment.host}/v1/design", timeout=5).json()["budgets"]
            limit_ms = next(budget["limit"] for budget in budgets if budget["name"] == "p99_ms")
            Path(path).write_text(json.dumps(tally.figures(limit_ms, seconds), indent=2))
