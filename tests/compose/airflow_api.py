"""Airflow's REST API in a composed stack."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx

from lab.services.composing import Stack


@dataclass
class AirflowApi:
    """Airflow's REST API, as its page uses it."""

    stack: Stack
    _token: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.stack.ports['LAB_AIRFLOW_PORT']}"

    def call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        if not self._token:
            password = self.stack.compose("exec", "-T", "airflow-api", "cat", "/run/airflow/password")
            body = {"username": "admin", "password": password}
            self._token = (
                httpx.post(f"{self.url}/auth/token", json=body, timeout=60).raise_for_status().json()["access_token"]
            )
        headers = {"authorization": f"Bearer {self._token}"}
        answer = httpx.request(method, f"{self.url}/api/v2{path}", headers=headers, timeout=60, **options)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def runs(self, dag: str) -> list[str]:
        """The ids of the runs of a DAG."""
        return [str(run["dag_run_id"]) for run in self.call("GET", f"/dags/{dag}/dagRuns")["dag_runs"]]

    def run_state(self, dag: str, run: str) -> str:
        return str(self.call("GET", f"/dags/{dag}/dagRuns/{run}")["state"])

    def tasks(self, dag: str, run: str) -> dict[str, dict[str, Any]]:
        found = self.call("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances")["task_instances"]
        return {task["task_id"]: task for task in found}
