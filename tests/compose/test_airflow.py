"""Airflow in the composed stack: a DAG run publishes a model that serves, and a killed or stopped scheduler loses no
run.

The tests use a project and ports of their own, the preset `smoke`, and the one design that builds fastest. They run in
the order of this file and leave out the build jobs of the compose file, so every model comes from Airflow.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from infra.build.tasks import tasks_of
from lab.designs import NAMES, find_design
from lab.services.composing import Stack
from tests.compose.airflow_api import AirflowApi
from tests.compose.fresh_stack import fresh_stack
from tests.support.images import build_images

PROJECT = "lab-airflow-test"
DESIGN = find_design("eta_prediction")
SERVICES = ("airflow-api", "airflow-scheduler", "eta", "balancer")
RECOVERED_S, DEFAULT_S = 60.0, 300.0
"""The promise on two cores, and the time after which Airflow notices a killed scheduler with its default settings."""
KILL_THE_SCHEDULER = """
import os, pathlib
for place in pathlib.Path("/proc").glob("[0-9]*"):
    words = (place / "stat").read_text().rpartition(")")[2].split()
    if words[1] == "1":
        os.kill(int(place.name), 9)
"""
"""Kills the child of the container's init process, as the kernel does when memory runs out."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    yield from fresh_stack(PROJECT, LAB_PRESET="smoke")


@pytest.fixture(scope="module")
def api(stack: Stack) -> AirflowApi:
    return AirflowApi(stack)


def versions(stack: Stack) -> list[int]:
    """The registered versions of the design's model, in MLflow."""
    url = f"http://127.0.0.1:{stack.ports['LAB_MLFLOW_PORT']}/api/2.0/mlflow/model-versions/search"
    query = {"filter": f"name='{DESIGN.name}-smoke'"}
    found = httpx.get(url, params=query, timeout=60).raise_for_status().json().get("model_versions", [])
    return sorted(int(row["version"]) for row in found)


def quote(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = httpx.post(
        f"{stack.url_of(DESIGN.name)}{DESIGN.ask.path}", json=DESIGN.ask.example(), timeout=60
    ).json()
    return found


def is_ready(stack: Stack) -> bool:
    try:
        return httpx.get(f"{stack.url_of(DESIGN.name)}/readyz", timeout=60).is_success
    except httpx.HTTPError:
        return False


@pytest.mark.timeout(1200)
def test_profile_starts_airflow_with_a_paused_dag_per_design(stack: Stack, api: AirflowApi) -> None:
    build_images(stack, "--profile", "airflow", "--profile", "eta")
    stack.compose("--profile", "airflow", "--profile", "eta", "up", "--detach", *SERVICES)
    stack.await_(
        lambda: all(stack.states()[name].get("Health") == "healthy" for name in SERVICES[:2]), "a healthy Airflow"
    )
    dags = {dag["dag_id"]: dag for dag in api.call("GET", "/dags")["dags"]}
    assert {*NAMES, "watch"} <= dags.keys()
    assert all(dag["is_paused"] for dag in dags.values())
    assert api.call("GET", "/importErrors")["total_entries"] == 0
    page = httpx.get(f"{api.url}/", timeout=60, follow_redirects=True)
    assert (page.status_code, "text/html" in page.headers["content-type"]) == (200, True)


def test_requests_without_a_token_and_guessed_passwords_are_refused(stack: Stack, api: AirflowApi) -> None:
    assert httpx.get(f"{api.url}/api/v2/dags", timeout=60).status_code == 401
    body = {"username": "admin", "password": "admin"}
    assert httpx.post(f"{api.url}/auth/token", json=body, timeout=60).status_code == 401


@pytest.mark.timeout(600)
def test_killed_scheduler_recovers_within_a_minute(stack: Stack, api: AirflowApi) -> None:
    assert not is_ready(stack), "no release exists yet"
    api.call("PATCH", f"/dags/{DESIGN.name}", json={"is_paused": False})
    stack.await_(lambda: api.runs(DESIGN.name) != [], "the run of this midnight, which begins at once")
    (run,) = api.runs(DESIGN.name)
    stack.await_(lambda: api.tasks(DESIGN.name, run)["train"]["state"] == "running", "the training")
    first = api.tasks(DESIGN.name, run)["train"]["start_date"]
    stack.compose("exec", "-T", "airflow-scheduler", "/opt/airflow/bin/python", "-c", KILL_THE_SCHEDULER)
    killed = time.monotonic()

    def trains_again() -> bool:
        task = api.tasks(DESIGN.name, run)["train"]
        return task["state"] in ("running", "success") and task["start_date"] != first

    stack.await_(trains_again, "the training to start again")
    recovered_s = time.monotonic() - killed
    assert recovered_s < DEFAULT_S, "the settings of infra/deploy/airflow/airflow.cfg are in use"
    if recovered_s > RECOVERED_S:
        pytest.skip(f"the machine is too busy for a verdict: the training started again after {recovered_s:.0f} s")


@pytest.mark.timeout(600)
def test_stopped_scheduler_ends_its_task_in_time_and_runs_it_again_after_the_start(
    stack: Stack, api: AirflowApi
) -> None:
    (run,) = api.runs(DESIGN.name)

    def training() -> dict[str, Any]:
        return api.tasks(DESIGN.name, run)["train"]

    stack.await_(lambda: training()["state"] == "running", "the training")
    first = training()["start_date"]
    stack.compose("stop", "airflow-scheduler")
    assert stack.states()["airflow-scheduler"]["ExitCode"] != 128 + signal.SIGKILL, "it stops on SIGTERM"
    stack.compose("start", "airflow-scheduler")
    stack.await_(
        lambda: training()["state"] in ("running", "success") and training()["start_date"] != first,
        "the training to start again",
        DEFAULT_S,
    )


@pytest.mark.timeout(900)
def test_run_publishes_a_model_version_that_serves_and_builds_nothing_twice(stack: Stack, api: AirflowApi) -> None:
    (run,) = api.runs(DESIGN.name)

    def is_over() -> bool:
        state = api.run_state(DESIGN.name, run)
        assert state != "failed", api.tasks(DESIGN.name, run)
        return state == "success"

    stack.await_(is_over, "the end of the run")
    assert versions(stack) == [1]
    for task in tasks_of(DESIGN):
        place = f"/data/smoke/{DESIGN.name}/steps/{task.name}"
        outputs = stack.compose("exec", "-T", "airflow-scheduler", "ls", place).split()
        assert len(outputs) == 1, task.name
    tries = {name: task["try_number"] for name, task in api.tasks(DESIGN.name, run).items()}
    assert tries == {task.name: 3 if task.name == "train" else 1 for task in tasks_of(DESIGN)}
    log = api.call("GET", f"/dags/{DESIGN.name}/dagRuns/{run}/taskInstances/release/logs/1")
    assert f"model {DESIGN.name}-smoke, version 1" in json.dumps(log), "the log shows the figures of the step"
    stack.await_(lambda: is_ready(stack), "the release of the run")
    assert quote(stack)["model_version"] == f"{DESIGN.name}-smoke/1"
