"""`lab up`: builds missing releases, starts the services, watches them and stops every service at the end.

Each service runs in its own session, so Ctrl-C reaches only the supervisor, and the supervisor stops the services in
order. Each service also inherits the read end of a pipe: when the supervisor dies, the pipe closes and the service
stops.

With several replicas of a design, the supervisor opens the listening socket at the design's port, and every replica
accepts connections from it. The others serve while one starts again (`lab.services.watching`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType

from infra.build.current import is_built
from infra.design import Design
from infra.errors import BudgetBroken, DependencyError, UsageError
from infra.registry.release import read_release
from infra.settings import Settings
from infra.stream.address import find_stream
from lab.output.console import err
from lab.services.ports import (
    BACKLOG,
    check_port,
    monitor_port_of,
    monitor_url_of,
    port_of,
    replica_port_of,
    url_of,
    worker_port_of,
)
from lab.services.processes import Service, answers, stop_all
from lab.services.runstate import Running, RunState, forget_state
from lab.services.watching import Watch

LOOK_S = 0.5
"""Pause between two looks at the services, in seconds."""


class Stopped(BaseException):
    """SIGINT or SIGTERM asks the supervisor to stop. A `BaseException`, so that no `except Exception` catches it."""


@dataclass
class Supervisor:
    """Context manager that supervises the services. Its exit stops every process that the supervisor started."""

    settings: Settings
    designs: Sequence[Design]
    replicas: int = 1
    services: list[Service] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)
    """the listening sockets that replicas share"""

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
        for shared in self.sockets:
            shared.close()
        os.close(self._write_end)
        os.close(self._read_end)
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def start(self) -> Iterator[Service]:
        """Build and start each design in turn; yield its first replica as soon as that one is ready.

        Raises `DependencyError` if a port is taken or a process does not get ready in time, `LabError` if a process
        ends while it starts.
        """
        for design in self.designs:
            for port in self._ports(design):
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
            first, *others = self._replicas(design)
            self._add(first)
            worker.await_ready()
            yield first
            for other in others:
                self._add(other)
            if design is self.designs[0]:
                self._add(self._monitor())

    def _add(self, service: Service, *, wait: bool = True) -> None:
        self.services.append(service)
        self._launch(service)
        if wait:
            service.await_ready()
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

    def _ports(self, design: Design) -> list[int]:
        alone = [] if self.replicas == 1 else range(1, self.replicas + 1)
        own = [replica_port_of(design, self.settings, number) for number in alone]
        return [port_of(design, self.settings), worker_port_of(design, self.settings), *own]

    def _replicas(self, design: Design) -> list[Service]:
        """The processes that serve a design. A single one opens the design's port itself."""
        url, command = url_of(design, self.settings), ("-m", "lab.services.serving", design.name)
        log = self.settings.run_dir / f"{design.name}.log"
        if self.replicas == 1:
            return [Service(design.name, command, log, lambda: answers(f"{url}/readyz"), url, design=design.name)]
        shared = self._listen(port_of(design, self.settings))
        return [self._replica(design, number, shared) for number in range(1, self.replicas + 1)]

    def _replica(self, design: Design, number: int, shared: int) -> Service:
        name = design.name if number == 1 else f"{design.name}-{number}"
        own = f"http://{self.settings.host}:{replica_port_of(design, self.settings, number)}"
        return Service(
            name,
            ("-m", "lab.services.serving", design.name, str(number), str(shared)),
            self.settings.run_dir / f"{name}.log",
            lambda: answers(f"{own}/readyz"),
            url_of(design, self.settings),
            own,
            design.name,
            (shared,),
        )

    def _listen(self, port: int) -> int:
        """Open a listening socket for several replicas. Connections wait in it while no replica accepts."""
        shared = socket.create_server((self.settings.host, port), backlog=BACKLOG)
        self.sockets.append(shared)
        return shared.fileno()

    def _worker(self, design: Design) -> Service:
        url = f"http://{self.settings.host}:{worker_port_of(design, self.settings)}"
        command = ("-m", "lab.services.working", design.name)
        name = f"{design.name}-worker"
        return Service(name, command, self.settings.run_dir / f"{name}.log", lambda: answers(f"{url}/healthz"), url)

    def _monitor(self) -> Service:
        url = monitor_url_of(self.settings)
        command = ("-m", "lab.services.monitor.run", "--watch")
        log = self.settings.run_dir / "monitor.log"
        return Service("monitor", command, log, lambda: answers(f"{url}/healthz"), url)

    def watch(self) -> None:
        """Restart crashed services until `Stopped`. Raises `LabError` if a service crashes again and again."""
        with Watch(self.services, self._launch, self._remember) as watch:
            while True:
                time.sleep(LOOK_S)
                watch.look()

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
        service.launch(self._environment, self._read_end)

    def _remember(self) -> None:
        running = [service.running() for service in self.services if service.process is not None]
        RunState(Running.of("supervisor", os.getpid()), tuple(running)).write(self.settings)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped
