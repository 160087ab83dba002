"""`lab load`: runs headless Locust in a separate process, reads its figures and measures how busy the machine is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.design import Design
from infra.errors import LabError
from infra.settings import REPOSITORY, Settings
from lab.load.machine import Conditions, CpuWatch, late_limit_ms
from lab.services.client import call
from lab.services.runstate import read_state

PER_USER_S = 5
"""Requests per second of one simulated user; the same value as in `loadtests/`."""
OVERLOAD = 6
"""Factor on the default number of users for an overload run."""


@dataclass(frozen=True)
class LoadRun:
    """Results of a load run. `loadtests/tally.py` writes `figures`; `GET /v1/design` declares `budgets`."""

    asked_per_s: float
    figures: dict[str, Any]
    budgets: list[dict[str, Any]]
    conditions: Conditions


def run_load(design: Design, settings: Settings, url: str, *, users: int, seconds: int, out: Path) -> LoadRun:
    """Put load on the service at `url` and write the reports to `out`.

    Raises `DependencyError` if the service does not answer, `LabError` if Locust fails.
    """
    budgets = call("GET", f"{url}/v1/design")["budgets"]
    out.mkdir(parents=True, exist_ok=True)
    found = out / "figures.json"
    found.unlink(missing_ok=True)
    command = [sys.executable, "-m", "locust", "--headless", "--only-summary", "--locustfile", design.loadtest]
    command += ["--host", url, "--users", str(users), "--spawn-rate", str(users), "--run-time", f"{seconds}s"]
    command += ["--html", str(out / "report.html"), "--csv", str(out / "stats"), "--stop-timeout", "5"]
    command += ["--loglevel", "WARNING"]
    environment = dict(os.environ) | {"LAB_FIGURES": str(found), "PYTHONPATH": str(REPOSITORY)}
    with (out / "locust.log").open("wb") as log, CpuWatch(lambda: service_pids(settings, url)) as watch:
        process = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            timeout=seconds + 60,
            check=False,
        )
    if not found.exists():
        end = (out / "locust.log").read_text(errors="replace")[-1500:]
        raise LabError(f"Locust ended with status {process.returncode} and no figures", hint=end)
    figures: dict[str, Any] = json.loads(found.read_text())
    late_limit = late_limit_ms(budget["limit"] for budget in budgets if budget["unit"] == "ms")
    return LoadRun(users * PER_USER_S, figures, budgets, watch.conditions(figures["late_p99_ms"], late_limit))


def service_pids(settings: Settings, url: str) -> Sequence[int]:
    """Return the process ids of the running `lab up` if it serves `url`; empty otherwise."""
    state = read_state(settings)
    if state is None or url not in {service.url for service in state.services}:
        return ()
    return [service.pid for service in state.services]
