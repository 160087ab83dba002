"""Controls one composed stack: `docker compose` with its own project name and its own ports.

Benchmarks and tests use this module. Other stacks that run from the same compose file are not affected.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from infra.errors import BudgetBroken, DependencyError, LabError
from infra.settings import REPOSITORY
from lab.services.ports import free_port

PORT_OF = {"feed_ranking": "LAB_PORT", "ctr_prediction": "LAB_ADS_PORT", "eta_prediction": "LAB_ETA_PORT"}
"""Design -> the setting of the compose file for its port."""
PORTS = (
    *PORT_OF.values(),
    *(f"LAB_{name}_PORT" for name in ("MLFLOW", "PROMETHEUS", "MONITOR", "AIRFLOW", "GRAFANA", "LOCUST")),
)
ONE_SHOT = ("setup", "build", "ads-build", "eta-build", "airflow-setup")
UP_S = 900.0


@dataclass(frozen=True)
class Stack:
    """A composed stack. `project` names the containers; `ports` maps settings of the compose file to free ports."""

    project: str
    repository: Path = REPOSITORY
    settings: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=lambda: {name: free_port() for name in PORTS})

    @property
    def url(self) -> str:
        """The address of the feed, which every stack has."""
        return self.url_of("feed_ranking")

    def url_of(self, design: str) -> str:
        return f"http://127.0.0.1:{self.ports[PORT_OF[design]]}"

    @property
    def prometheus_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['LAB_PROMETHEUS_PORT']}"

    @property
    def monitor_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['LAB_MONITOR_PORT']}"

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables for `docker compose` and for `lab` commands that address this stack."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("LAB_", "COMPOSE_"))}
        ports = {name: str(port) for name, port in self.ports.items()}
        return ours | ports | dict(self.settings) | {"COMPOSE_PROJECT_NAME": self.project}

    def compose(self, *words: str, timeout_s: float = UP_S) -> str:
        """Run `docker compose words…` and return its output. Raises `DependencyError` with the error if it fails."""
        command = ["docker", "compose", "--ansi", "never", "--progress", "plain", *words]
        done = subprocess.run(
            command,
            cwd=self.repository,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            raise DependencyError(f"`docker compose {' '.join(words)}` failed", hint=done.stderr.strip()[-2000:])
        return done.stdout

    def states(self) -> dict[str, dict[str, Any]]:
        """Service name -> row of `docker compose ps` for the service's container."""
        lines = self.compose("ps", "--all", "--format", "json").splitlines()
        return {row["Service"]: row for row in map(json.loads, lines)}

    def is_built(self) -> bool:
        """True if every server is healthy and every one-shot service has ended.

        A build also ends well if the gate refuses the new model: the old release serves. Without an old release the
        server never becomes healthy. Raises `LabError` if a one-shot service failed.
        """
        states = self.states()
        for name, row in states.items():
            if name in ONE_SHOT and row["State"] == "exited" and row["ExitCode"] not in (0, BudgetBroken.exit_code):
                log = self.compose("logs", "--no-log-prefix", "--tail", "20", name)
                raise LabError(f"{name} ended with status {row['ExitCode']}", hint=log)
        return bool(states) and all(
            row["State"] == "exited" if name in ONE_SHOT else row.get("Health") == "healthy"
            for name, row in states.items()
        )

    def answers(self, path: str, body: Mapping[str, Any], design: str = "feed_ranking") -> bool:
        try:
            return httpx.post(f"{self.url_of(design)}{path}", json=dict(body), timeout=5).is_success
        except httpx.HTTPError:
            return False

    def await_(self, condition: Callable[[], bool], what: str, seconds: float = UP_S, every_s: float = 0.3) -> None:
        """Wait until the condition is true. A condition that calls `docker compose` takes a quarter of a CPU-second."""
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until:
                raise LabError(f"timed out after {seconds:.0f} s: {what}", hint=self.compose("ps", "--all"))
            time.sleep(every_s)

    def await_settled(self, what: str) -> None:
        """Wait until the stack is settled (`is_built`). A build needs the CPU, so the wait asks seldom."""
        self.await_(self.is_built, what, every_s=2.0)

    def down(self) -> None:
        """Stop all containers and remove the stack's volumes."""
        self.compose("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "10")


def engine_or_raise() -> None:
    """Raise `DependencyError` if no Docker engine with Compose v2 answers."""
    for command, what in (
        (["docker", "info"], "the Docker engine does not answer"),
        (["docker", "compose", "version"], ""),
    ):
        try:
            done = subprocess.run(command, capture_output=True, timeout=30, check=False)
        except (FileNotFoundError, subprocess.TimeoutExpired):
            raise DependencyError("docker is not installed or does not answer") from None
        if done.returncode != 0:
            raise DependencyError(what or "docker has no `compose` command", hint="install Docker with Compose v2")
