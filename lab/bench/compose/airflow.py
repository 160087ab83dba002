"""What Airflow costs in the composed setting: memory at rest, time to start, and time around a task."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any

import httpx

from lab.bench.compose.starts import Found
from lab.designs import find_design
from lab.output.console import err
from lab.services.composing import Stack

DESIGN = "eta_prediction"
SERVICES = ("airflow-api", "airflow-scheduler")
PROFILES = ("--profile", "airflow", "--profile", "eta")
REST_S, RUN_S = 30.0, 900.0
TIMED = """
import subprocess, sys, time
began = time.monotonic()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(time.monotonic() - began)
"""
PSS = """
import pathlib
total = 0
for place in pathlib.Path("/proc").glob("[0-9]*/smaps_rollup"):
    try:
        total += sum(int(line.split()[1]) for line in place.read_text().splitlines() if line.startswith("Pss:"))
    except OSError:
        pass
print(total)
"""


def measure_airflow(stack: Stack, wanted: Collection[str], rounds: int, found: Found) -> None:
    """Start Airflow with ride ETA, rest, start it again, and run the DAG of a design that is up to date."""
    err.print("starting Airflow …")
    stack.compose(*PROFILES, "up", "--build", "--detach")
    stack.await_settled("healthy services and the end of the build")
    if "airflow_idle_mb" in wanted:
        time.sleep(REST_S)
        found["airflow_idle_mb"] = [sum(pss_mb(stack, name) for name in SERVICES)]
    for number in range(rounds if "airflow_healthy_s" in wanted else 0):
        err.print(f"starting Airflow again, {number + 1} of {rounds} …")
        found.setdefault("airflow_healthy_s", []).append(healthy_s(stack))
    if "airflow_task_s" in wanted:
        err.print("running the steps of a build that is up to date, as tasks and alone …")
        found["airflow_task_s"] = [task_s(stack) - command_s(stack)]


def pss_mb(stack: Stack, service: str) -> float:
    """Memory (PSS) of all processes of a container, as the kernel counts it."""
    kilobytes = stack.compose("exec", "-T", "--user", "10001", service, "/opt/lab/bin/python", "-c", PSS)
    return int(kilobytes) * 1024 / 1e6


def healthy_s(stack: Stack) -> float:
    """Seconds from the start of Airflow's two containers until both are healthy."""
    stack.compose("stop", *SERVICES)
    started = time.monotonic()
    stack.compose("start", *SERVICES)
    stack.await_(lambda: all(stack.states()[name].get("Health") == "healthy" for name in SERVICES), "a healthy Airflow")
    return time.monotonic() - started


def task_s(stack: Stack) -> float:
    """Median seconds from the moment at which a task of a run could start until its end; every step is up to date.

    A task can start when the one before it has ended.
    """
    api = httpx.Client(base_url=f"http://127.0.0.1:{stack.ports['LAB_AIRFLOW_PORT']}", timeout=60)
    password = stack.compose("exec", "-T", SERVICES[0], "cat", "/run/airflow/password")
    token = api.post("/auth/token", json={"username": "admin", "password": password}).raise_for_status().json()
    api.headers["authorization"] = f"Bearer {token['access_token']}"
    place = f"/api/v2/dags/{DESIGN}"
    api.patch(place, json={"is_paused": False}).raise_for_status()
    run = api.post(f"{place}/dagRuns", json={"logical_date": None}).raise_for_status().json()["dag_run_id"]
    stack.await_(lambda: _is_over(api.get(f"{place}/dagRuns/{run}").json()), "the end of the run", RUN_S)
    rows = api.get(f"{place}/dagRuns/{run}/taskInstances").raise_for_status().json()["task_instances"]
    ends = sorted(datetime.fromisoformat(row["end_date"]).timestamp() for row in rows)
    return median(later - earlier for earlier, later in pairwise(ends))


def command_s(stack: Stack) -> float:
    """Median seconds of the same commands without Airflow, measured in the same container."""
    steps = [step.name for step in find_design(DESIGN).steps[1:]]
    commands = [("/opt/lab/bin/lab", "build", DESIGN, "--only", name) for name in steps]
    return median(
        float(stack.compose("exec", "-T", SERVICES[1], "/opt/lab/bin/python", "-c", TIMED, *command).split()[-1])
        for command in commands
    )


def _is_over(run: dict[str, Any]) -> bool:
    return run["state"] in ("success", "failed")
