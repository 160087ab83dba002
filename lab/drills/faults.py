"""Injects and removes a drill's fault: with the service's fault switch (embedded) or a stopped container (composed).

`inject` returns when the dependency is down. `clear` returns when the dependency answers again.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import psutil

from infra.design import Design
from infra.errors import DependencyError
from infra.evaluation.drill import Inject
from infra.settings import REPOSITORY
from lab.services.client import call, call_each

COMMAND_S, HEALTHY_S = 60.0, 60.0
BALANCER = "balancer"
"""the container with the addresses of all designs"""


class Faults(Protocol):
    """Fault injection of one setting. `clear` may be called at any time, and more than once."""

    def check(self, method: Inject) -> None:
        """Raise `DependencyError` if this setting cannot inject the fault."""
        ...

    def inject(self, method: Inject) -> None: ...

    def clear(self, method: Inject) -> None: ...


@dataclass(frozen=True)
class SwitchedFaults:
    """Embedded setting: each replica of the service injects the fault at its own port."""

    urls: list[str]

    def check(self, method: Inject) -> None:
        known = {(row["port"], row["fault"]) for row in call("GET", f"{self.urls[0]}/v1/faults")}
        if (method.port, method.fault) not in known:
            raise DependencyError(f"the service cannot inject {method.port} {method.fault}")

    def inject(self, method: Inject) -> None:
        body = {"fault": method.fault, "delay_s": method.delay_s}
        call_each("PUT", self.urls, f"/v1/faults/{method.port}", json=body)

    def clear(self, method: Inject) -> None:
        call_each("DELETE", self.urls, f"/v1/faults/{method.port}")


class ComposedFaults:
    """Composed setting: `docker compose stop` and `docker compose start` of the dependency's container."""

    def check(self, method: Inject) -> None:
        if self._state(method.service) != "running healthy":
            raise DependencyError(
                f"the container of {method.service} is not up and healthy", hint="run: docker compose up --detach"
            )

    def inject(self, method: Inject) -> None:
        compose("stop", method.service)
        time.sleep(method.effect_after_s)

    def clear(self, method: Inject) -> None:
        compose("start", method.service)
        until = time.monotonic() + HEALTHY_S
        while self._state(method.service) != "running healthy":
            if time.monotonic() > until:
                raise DependencyError(f"{method.service} does not become healthy", hint="run: docker compose logs")
            time.sleep(0.1)

    def _state(self, service: str) -> str:
        return compose("ps", "--format", "{{.State}} {{.Health}}", service).strip()


def composed_url(design: Design) -> str:
    """Return the published URL of the design's container. Raises `DependencyError` if the container is not up."""
    return f"http://{compose('port', BALANCER, str(design.port)).strip()}"


def composed_pids() -> Sequence[int]:
    """Return the process id on this machine of each container's first process.

    The list is empty where containers run in a virtual machine, as with Docker Desktop: their CPU time cannot be
    separated from that of other programs.
    """
    if sys.platform != "linux":
        return ()
    names = compose("ps", "--quiet").split()
    command = ["docker", "inspect", "--format", "{{.State.Pid}}", *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, stdin=subprocess.DEVNULL)
    return [pid for pid in map(int, done.stdout.split()) if psutil.pid_exists(pid)]


def compose(*words: str) -> str:
    """Run `docker compose words…` and return its output. Raises `DependencyError` with the error if it fails."""
    command = ["docker", "compose", *words]
    try:
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, timeout=COMMAND_S, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise DependencyError(
            "docker is not installed", hint="run the drill in the embedded setting: --setting embedded"
        ) from None
    if done.returncode != 0:
        raise DependencyError(f"`{' '.join(command)}` failed", hint=done.stderr.strip()[-1000:])
    return done.stdout
