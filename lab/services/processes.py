"""A process that the supervisor runs: how it starts, when it is ready, and how it stops."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from infra.errors import DependencyError, LabError
from lab.services.client import request
from lab.services.runstate import Running

START_TIMEOUT_S, STOP_TIMEOUT_S = 90.0, 8.0
QUIET_LIBRARIES = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Environment variables that limit threads and memory of libraries. Request threads provide the parallelism, so more
threads inside a request would only compete for cores. Malloc arenas are few and Arrow uses the system allocator,
because arenas and pools keep memory at its peak."""


@dataclass
class Service:
    """A supervised process: the broker, the monitor, or a replica or the worker of a design.

    `ready` returns True once it is up. `url` is the address for clients, `own_url` that of this process alone,
    if it shares `url` with other replicas. `design` is set for replicas.
    """

    name: str
    command: tuple[str, ...]
    log: Path
    ready: Callable[[], bool]
    url: str = ""
    own_url: str = ""
    design: str = ""
    sockets: tuple[int, ...] = ()
    """file descriptors that the process inherits, besides the pipe of the supervisor"""
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    """when the process started (epoch seconds)"""
    out: str = ""
    """why the supervisor leaves the service out for a while"""

    def launch(self, environment: Mapping[str, str], pipe: int) -> None:
        """Start the process in a session of its own. The log of the process before is kept as `NAME.previous.log`."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".previous.log"))
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=QUIET_LIBRARIES | dict(environment),
                pass_fds=[pipe, *self.sockets],
                start_new_session=True,
            )
        self.started = time.time()
        with contextlib.suppress(psutil.Error):
            self.started = psutil.Process(self.process.pid).create_time()

    def await_ready(self) -> None:
        """Raise `LabError` if the process ends while it starts, `DependencyError` if it is not ready in time."""
        assert self.process is not None
        until = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise LabError(f"{self.name} ended while starting", hint=tail(self.log))
            if self.ready():
                return
            time.sleep(0.05)
        raise DependencyError(f"{self.name} was not ready after {START_TIMEOUT_S:.0f} s", hint=tail(self.log))

    def kill(self) -> None:
        """Send SIGKILL to the process and its children. Returns before they have ended."""
        assert self.process is not None
        _signal_group(self.process, signal.SIGKILL)

    def running(self) -> Running:
        """The last process of the service, also after it has ended."""
        assert self.process is not None
        return Running(self.name, self.process.pid, self.started, self.url, self.own_url, self.design, self.out)


def answers(url: str) -> bool:
    """True if the service answers with status 200 within two seconds."""
    try:
        return request("GET", url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def responds(url: str, timeout_s: float) -> bool:
    """True if the service answers with any status. No step of the exchange takes longer than `timeout_s`.

    `http.client` takes 0.3 ms of CPU time and httpx 1.9 ms, and the supervisor asks each replica every second.
    """
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc, timeout=timeout_s)
    try:
        connection.request("GET", place.path)
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def stop_all(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Send SIGTERM to each process group, wait up to `STOP_TIMEOUT_S`, then send SIGKILL. Returns when all ended."""
    for process in processes:
        _signal_group(process, signal.SIGTERM)
    until = time.monotonic() + STOP_TIMEOUT_S
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, until - time.monotonic()))
        _signal_group(process, signal.SIGKILL)
        process.wait()


def tail(log: Path, lines: int = 15) -> str:
    """Return the last lines of a log as the hint of an error."""
    text = log.read_text(errors="replace").splitlines()[-lines:] if log.exists() else []
    return "\n  ".join([f"last lines of {log}:", *text])


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
