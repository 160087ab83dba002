"""`lab up`: builds missing releases, starts the services, restarts crashed services and stops every service at the end.

Each service runs in its own session, so Ctrl-C reaches only the supervisor, and the supervisor stops the services in
order. Each service also inherits the read end of a pipe: when the supervisor dies, the pipe closes and the service
stops.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import httpx

from infra.build.fingerprints import is_built
from infra.design import Design
from infra.errors import BudgetBroken, DependencyError, LabError, UsageError
from infra.registry.release import read_release
from infra.settings import Settings
from infra.stream.address import find_stream
from lab.output.console import err
from lab.services.client import request
from lab.services.ports import (
    check_port,
    monitor_port_of,
    monitor_url_of,
    port_of,
    url_of,
    worker_port_of,
)
from lab.services.runstate import Running, RunState, forget_state

START_TIMEOUT_S, STOP_TIMEOUT_S = 90.0, 8.0
RESTARTS, RESTART_WINDOW_S = 3, 60.0
QUIET_LIBRARIES = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Environment variables that limit threads and memory of libraries. Request threads provide the parallelism, so more
threads inside a request would only compete for cores. Malloc arenas are few and Arrow uses the system allocator,
because arenas and pools keep memory at its peak."""


class Stopped(BaseException):
    """SIGINT or SIGTERM asks the supervisor to stop. A `BaseException`, so that no `except Exception` catches it."""


@dataclass
class Service:
    """A supervised process: broker, monitor, or a design's service or worker. `ready` returns True once it is up."""

    name: str
    command: tuple[str, ...]
    log: Path
    ready: Callable[[], bool]
    url: str = ""
    design: Design | None = None
    process: subprocess.Popen[bytes] | None = None
    crashes: list[float] = field(default_factory=list)


@dataclass
class Supervisor:
    """Context manager that supervises the services. Its exit stops every process that the supervisor started."""

    settings: Settings
    designs: Sequence[Design]
    services: list[Service] = field(default_factory=list)

    def __enter__(self) -> Supervisor:
        self._read_end, self._write_end = os.pipe()
        os.set_inheritable(self._read_end, True)
        self._previous = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number in self._previous:
            signal.signal(number, signal.SIG_IGN)  # so a second Ctrl-C does not interrupt the clean-up
        stop_all([service.process for service in self.services if service.process is not None])
        forget_state(self.settings)
        os.close(self._write_end)
        os.close(self._read_end)
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def start(self) -> Iterator[Service]:
        """Build and start each design in turn; yield each service as soon as it is ready.

        Raises `DependencyError` if a port is taken or a process does not get ready in time, `LabError` if a process
        ends while it starts.
        """
        for design in self.designs:
            for port in (port_of(design, self.settings), worker_port_of(design, self.settings)):
                check_port(self.settings.host, port)
        check_port(self.settings.host, monitor_port_of(self.settings))
        self._remember()
        if self.settings.stream is None:
            self._add(self._broker())
        for design in self.designs:
            if not is_built(design, self.settings):
                self._accept(design, self._build(design))
            worker = self._worker(design)
            self._add(worker, wait=False)  # the worker counts the history first; the service can start meanwhile
            service = self._service(design)
            self._add(service)
            self._await_ready(worker)
            yield service
            if design is self.designs[0]:
                self._add(self._monitor())

    def _add(self, service: Service, *, wait: bool = True) -> None:
        self.services.append(service)
        self._launch(service)
        if wait:
            self._await_ready(service)
        self._remember()

    def _broker(self) -> Service:
        before = self._epoch()
        command = ("-m", "infra.stream.broker")
        return Service(
            "stream", command, self.settings.run_dir / "stream.log", lambda: self._epoch() not in ("", before)
        )

    def _epoch(self) -> str:
        try:
            return find_stream(self.settings).epoch
        except DependencyError:
            return ""

    def _service(self, design: Design) -> Service:
        url = url_of(design, self.settings)
        command = ("-m", "lab.services.serving", design.name)
        log = self.settings.run_dir / f"{design.name}.log"
        return Service(design.name, command, log, lambda: _answers(f"{url}/readyz"), url, design)

    def _worker(self, design: Design) -> Service:
        url = f"http://{self.settings.host}:{worker_port_of(design, self.settings)}"
        command = ("-m", "lab.services.working", design.name)
        name = f"{design.name}-worker"
        return Service(name, command, self.settings.run_dir / f"{name}.log", lambda: _answers(f"{url}/healthz"), url)

    def _monitor(self) -> Service:
        url = monitor_url_of(self.settings)
        command = ("-m", "lab.services.monitoring", "--watch")
        log = self.settings.run_dir / "monitor.log"
        return Service("monitor", command, log, lambda: _answers(f"{url}/healthz"), url)

    def watch(self) -> None:
        """Restart crashed services until `Stopped`. Raises `LabError` if a service crashes too often in a minute."""
        while True:
            time.sleep(0.5)
            for service in self.services:
                assert service.process is not None
                status = service.process.poll()
                if status is None:
                    continue
                now = time.monotonic()
                service.crashes = [at for at in service.crashes if now - at < RESTART_WINDOW_S] + [now]
                if len(service.crashes) > RESTARTS:
                    raise LabError(f"{service.name} exits repeatedly (status {status})", hint=tail(service.log))
                err.print(f"[yellow]{service.name} ended with status {status}; starting it again")
                self._launch(service)
                self._await_ready(service)
                self._remember()

    def _accept(self, design: Design, status: int) -> None:
        """Continue after a build, or exit with its status. If the gate refuses the model, the old release serves."""
        if status == BudgetBroken.exit_code:
            with contextlib.suppress(UsageError):
                old = read_release(self.settings.design_root(design.name))
                err.print(
                    f"[yellow]the gate refused the new model; serving {old.model_name} version {old.model_version}"
                )
                return
        if status != 0:
            raise SystemExit(status)  # the build has printed the reason

    def _build(self, design: Design) -> int:
        command = [sys.executable, "-m", "lab", "build", design.name, "--preset", self.settings.preset, "--quiet"]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, env=self._environment, pass_fds=[self._read_end], start_new_session=True
        )
        try:
            return process.wait()
        finally:
            stop_all([process])

    @property
    def _environment(self) -> dict[str, str]:
        """Environment of a child process: the supervisor's variables, and the read end of the supervisor's pipe."""
        own = {"LAB_PARENT_PIPE": str(self._read_end), "LAB_PRESET": self.settings.preset}
        return dict(os.environ) | own

    def _launch(self, service: Service) -> None:
        service.log.parent.mkdir(parents=True, exist_ok=True)
        if service.log.exists():
            service.log.replace(service.log.with_suffix(".previous.log"))
        command = [sys.executable, *service.command]
        with service.log.open("wb") as log:
            service.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=QUIET_LIBRARIES | self._environment,
                pass_fds=[self._read_end],
                start_new_session=True,
            )

    def _await_ready(self, service: Service) -> None:
        assert service.process is not None
        until = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until:
            if service.process.poll() is not None:
                raise LabError(f"{service.name} ended while starting", hint=tail(service.log))
            if service.ready():
                return
            time.sleep(0.05)
        raise DependencyError(f"{service.name} was not ready after {START_TIMEOUT_S:.0f} s", hint=tail(service.log))

    def _remember(self) -> None:
        running = [
            Running.of(service.name, service.process.pid, service.url)
            for service in self.services
            if service.process is not None
        ]
        RunState(Running.of("supervisor", os.getpid()), tuple(running)).write(self.settings)


def _answers(url: str) -> bool:
    try:
        return request("GET", url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


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


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped
