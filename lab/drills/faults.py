"""How a drill breaks and mends a part, in each setting: by the fault switch of the service, or by stopping a container.

Both return when it is done: `inject` when the part is gone, `mend` when it answers again.
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
from lab.services.client import call

COMMAND_S, HEALTHY_S = 60.0, 60.0


class Faults(Protocol):
    """`mend` may be called at any time, and more than once."""

    def check(self, method: Inject) -> None:
        """Raise `DependencyError` where this fault cannot be injected here."""
        ...

    def inject(self, method: Inject) -> None: ...

    def mend(self, method: Inject) -> None: ...


@dataclass(frozen=True)
class SwitchedFaults:
    """Embedded: the service itself puts the fault at its port."""

    url: str

    def check(self, method: Inject) -> None:
        known = {(row["port"], row["fault"]) for row in call("GET", f"{self.url}/v1/faults")}
        if (method.port, method.fault) not in known:
            raise DependencyError(f"the service cannot inject {method.port} {method.fault}")

    def inject(self, method: Inject) -> None:
        call("PUT", f"{self.url}/v1/faults/{method.port}", json={"fault": method.fault, "delay_s": method.delay_s})

    def mend(self, method: Inject) -> None:
        call("DELETE", f"{self.url}/v1/faults/{method.port}")


class ComposedFaults:
    """Composed: `docker compose stop` of the container that is the part, and `start`."""

    def check(self, method: Inject) -> None:
        if self._state(method.service) != "running healthy":
            raise DependencyError(
                f"the container of {method.service} is not up and healthy", hint="run: docker compose up --detach"
            )

    def inject(self, method: Inject) -> None:
        compose("stop", method.service)

    def mend(self, method: Inject) -> None:
        compose("start", method.service)
        until = time.monotonic() + HEALTHY_S
        while self._state(method.service) != "running healthy":
            if time.monotonic() > until:
                raise DependencyError(f"{method.service} does not get healthy", hint="look at: docker compose logs")
            time.sleep(0.1)

    def _state(self, service: str) -> str:
        return compose("ps", "--format", "{{.State}} {{.Health}}", service).strip()


def composed_url(design: Design) -> str:
    """Where the design's container is published. Raises `DependencyError` where it is not up."""
    return f"http://{compose('port', design.container, str(design.port)).strip()}"


def composed_pids() -> Sequence[int]:
    """The first process of each container, by its number on this machine; empty where containers run in a machine of
    their own, as with Docker Desktop, so that their CPU cannot be told from that of other programs."""
    if sys.platform != "linux":
        return ()
    names = compose("ps", "--quiet").split()
    command = ["docker", "inspect", "--format", "{{.State.Pid}}", *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, stdin=subprocess.DEVNULL)
    return [pid for pid in map(int, done.stdout.split()) if psutil.pid_exists(pid)]


def compose(*words: str) -> str:
    """What `docker compose words…` printed. Raises `DependencyError` with its message where it failed."""
    command = ["docker", "compose", *words]
    try:
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, timeout=COMMAND_S, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        raise DependencyError(
            "docker is not installed", hint="drill the embedded setting: --setting embedded"
        ) from None
    if done.returncode != 0:
        raise DependencyError(f"`{' '.join(command)}` failed", hint=done.stderr.strip()[-1000:])
    return done.stdout
