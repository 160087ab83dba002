"""`lab load`: Locust, headless, in a process of its own, judged by the budgets that the service declares."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from infra.design import Design
from infra.errors import LabError
from infra.settings import REPOSITORY, Settings
from lab.services.client import call


def run_load(design: Design, settings: Settings, url: str, *, users: int, seconds: int, out: Path) -> dict[str, Any]:
    """Run the load and return its verdict. Raises `DependencyError` when nobody answers at `url`."""
    call("GET", f"{url}/v1/design")
    out.mkdir(parents=True, exist_ok=True)
    verdict = out / "verdict.json"
    verdict.unlink(missing_ok=True)
    command = [sys.executable, "-m", "locust", "--headless", "--only-summary", "--locustfile", design.loadtest]
    command += ["--host", url, "--users", str(users), "--spawn-rate", str(users), "--run-time", f"{seconds}s"]
    command += ["--html", str(out / "report.html"), "--csv", str(out / "stats"), "--stop-timeout", "5"]
    command += ["--loglevel", "WARNING"]
    environment = dict(os.environ) | {"LAB_VERDICT": str(verdict), "PYTHONPATH": str(REPOSITORY)}
    with (out / "locust.log").open("wb") as log:
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
    if not verdict.exists():
        end = (out / "locust.log").read_text(errors="replace")[-1500:]
        raise LabError(f"Locust ended with status {process.returncode} and no verdict", hint=end)
    found: dict[str, Any] = json.loads(verdict.read_text())
    return found
