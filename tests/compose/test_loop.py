"""The learning loop in the composed stack: the monitor notices a shift of the world, Airflow retrains, the monitor
moves the rollout on, and the new model serves. All of it happens by itself. Only the hourly DAG `watch` is started
early. The broker, the registry and the monitor are killed on the way, and started again.

The simulated users run in a container of their own, so that they live in the world of the stack's data.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from lab.designs import find_design
from lab.services.composing import Stack
from tests.compose.airflow_api import AirflowApi
from tests.compose.fresh_stack import fresh_stack
from tests.support.images import build_images

PROJECT = "lab-loop-test"
DESIGN = find_design("feed_ranking")
SERVICES = ("airflow-api", "airflow-scheduler", "build", "feed", "worker", "balancer", "monitor")
RATE = "15"
PEOPLE = f"{PROJECT}-people"
WINDOWS_BEFORE = 4
"""three windows of the reference, and one that is compared with it"""
PATIENCE_S, DOWN_S = 900.0, 10.0


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    yield from fresh_stack(PROJECT, LAB_PRESET="smoke")


def in_monitor(stack: Stack, *words: str) -> str:
    return stack.compose("exec", "-T", "monitor", "python", "-m", "lab", *words)


def timeline(stack: Stack, kind: str) -> list[dict[str, Any]]:
    return [row for row in json.loads(in_monitor(stack, "timeline", DESIGN.name, "--json")) if row["kind"] == kind]


def wait_for(stack: Stack, condition: Callable[[], bool], what: str) -> None:
    stack.await_(condition, what, PATIENCE_S, every_s=15.0)


def kill(stack: Stack, *services: str) -> None:
    """Kill containers, and start them again after a while."""
    stack.compose("kill", *services)
    time.sleep(DOWN_S)
    stack.compose("start", *services)


def counts_of_people() -> dict[str, int]:
    """Stop the simulated users, and return what they counted. They give up events that the service rejects for longer
    than they wait, while the broker starts; `test_stack.py` shows that no acknowledged event is lost."""
    subprocess.run(["docker", "stop", "--time", "60", PEOPLE], check=True, capture_output=True)
    logs = subprocess.run(["docker", "logs", PEOPLE], check=True, capture_output=True, text=True)
    counts: dict[str, int] = json.loads(logs.stdout)["counts"]
    return counts


def windows_of(stack: Stack) -> int:
    return int(json.loads(in_monitor(stack, "drift", DESIGN.name, "--no-update", "--json"))["windows"])


def served(stack: Stack) -> str:
    body = DESIGN.ask.example()
    answer = httpx.post(f"{stack.url_of(DESIGN.name)}{DESIGN.ask.path}", json=body, timeout=60).raise_for_status()
    return str(answer.json()["model_version"])


def champion(stack: Stack) -> str:
    """The version with the alias champion, in MLflow."""
    url = f"http://127.0.0.1:{stack.ports['LAB_MLFLOW_PORT']}/api/2.0/mlflow/registered-models/alias"
    query = {"name": f"{DESIGN.name}-smoke", "alias": "champion"}
    found = httpx.get(url, params=query, timeout=60).raise_for_status().json()
    return str(found["model_version"]["version"])


@pytest.mark.timeout(2400)
def test_shift_of_the_world_leads_to_a_new_champion_by_airflow(stack: Stack) -> None:
    api = AirflowApi(stack)
    build_images(stack, "--profile", "airflow")
    stack.compose("--profile", "airflow", "up", "--detach", *SERVICES)
    stack.await_(lambda: stack.answers(DESIGN.ask.path, DESIGN.ask.example()), "the first release")
    people = ("live", DESIGN.name, "--rate", RATE, "--url", "http://feed:8010", "--json")
    stack.compose("run", "--detach", "--no-deps", "--name", PEOPLE, "build", *people)
    first = served(stack)

    def asset_runs() -> list[str]:
        return api.runs(f"{DESIGN.name}_retraining")

    stack.await_(lambda: stack.states()["airflow-scheduler"].get("Health") == "healthy", "a healthy Airflow")
    for dag in ("watch", f"{DESIGN.name}_retraining"):
        api.call("PATCH", f"/dags/{dag}", json={"is_paused": False})
    wait_for(stack, lambda: windows_of(stack) >= WINDOWS_BEFORE, "the windows before the shift")
    assert timeline(stack, "drift") == [], "no drift without a shift"
    assert asset_runs() == [], "no retraining without a drift"

    in_monitor(stack, "world", "shift", DESIGN.name)
    kill(stack, "kafka", "mlflow")
    wait_for(stack, lambda: timeline(stack, "drift") != [], "the drift")
    assert timeline(stack, "retraining") == [], "the monitor leaves the retraining to Airflow"
    api.call("POST", "/dags/watch/dagRuns", json={"logical_date": None})
    wait_for(stack, lambda: asset_runs() != [], "the retraining in Airflow")
    (run,) = asset_runs()
    wait_for(stack, lambda: api.run_state(f"{DESIGN.name}_retraining", run) in ("success", "failed"), "the training")
    verdict = timeline(stack, "gate")[-1]["text"]
    if "is refused" in verdict:
        assert served(stack) == first, "a refused model does not serve"
        pytest.skip(f"the new model did not pass: {verdict}")
    assert api.run_state(f"{DESIGN.name}_retraining", run) == "success"
    kill(stack, "monitor", "mlflow")
    wait_for(stack, lambda: timeline(stack, "promotion")[1:] + timeline(stack, "rollback") != [], "the rollout")
    for row in timeline(stack, "rollback"):
        assert "looks worse" in row["text"], row
        pytest.skip(f"its users did better with the old model, maybe by chance: {row['text']}")
    wait_for(stack, lambda: served(stack) != first, "the new model in service")
    assert served(stack) == f"{DESIGN.name}-smoke/{champion(stack)}"
    assert timeline(stack, "shadow")
    assert timeline(stack, "canary")[1:]
    assert counts_of_people()["failed"] == 0, "slates need neither broker nor registry"
