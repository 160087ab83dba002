"""Injects and removes a drill's fault: with the service's fault switch (embedded) or a stopped container (composed).

`inject` returns when the dependency is down. `clear` returns when the dependency answers again.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import psutil

from infra.design import Design
from infra.errors import DependencyError
from infra.evaluation.drill import Inject
from infra.settings import REPOSITORY
from lab.services.client import call, call_each

COMMAND_S, HEALTHY_S = 60.0, 60.0
BALANCER = "balancer"
"""the container with the addresses of all designs"""
SHIM = "containerd-shim"
"""begin of the name of the process that starts a container's processes; the container's id is one of its arguments"""


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


def composed_pids() -> Callable[[], Sequence[int]]:
    """Return a function that finds the processes of the engine that watch over this project's containers.

    The processes of a container are children of its watching process (containerd's shim). The engine is asked once for
    the ids of the containers, because a container keeps its id when it stops and starts, and because a call of `docker
    compose` takes a quarter of a CPU-second. The function finds no process where containers run in a virtual machine,
    as with Docker Desktop: their CPU time cannot be separated from that of other programs.
    """
    ids = compose("ps", "--all", "--quiet", "--no-trunc").split()
    return lambda: [one.pid for one in psutil.process_iter(["name", "cmdline"]) if _watches(one.info, ids)]


def _watches(process: Mapping[str, Any], ids: Sequence[str]) -> bool:
    """True if the process, with its `name` and its `cmdline`, is the shim of one of the containers."""
    return (process["name"] or "").startswith(SHIM) and not set(ids).isdisjoint(process["cmdline"] or ())


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
