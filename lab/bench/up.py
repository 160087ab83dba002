"""Runs `lab up` for a measurement, on free ports: with any home, or with the smoke preset in a separate home.

The home is kept, so that only the first measurement builds. The live log in the home is deleted before each start.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from infra.design import Design
from infra.errors import DependencyError, LabError
from infra.settings import REPOSITORY, Settings
from infra.stream.address import find_stream
from lab.bench.environment import environment
from lab.services.client import call
from lab.services.ports import free_port, url_of
from lab.services.processes import tail
from lab.services.runstate import Running, read_state

PRESET: Final = "smoke"
UP_S, STOP_S, AGAIN_S = 600.0, 20.0, 30.0


@dataclass
class OwnLab:
    """A running lab: its service URL and settings. Killing its broker is safe: the supervisor restarts the broker."""

    url: str
    settings: Settings

    @property
    def broker(self) -> Running:
        """The broker process. Raises `LabError` if the supervisor runs none."""
        return self.process("stream")

    def process(self, name: str) -> Running:
        """A supervised process: `stream`, or a design's name for its service. Raises `LabError` if it does not run."""
        state = read_state(self.settings)
        for service in state.services if state else ():
            if service.name == name:
                return service
        raise LabError(f"`lab up` does not run a process {name}")

    def kill_broker(self) -> None:
        os.kill(self.broker.pid, signal.SIGKILL)

    def await_stream(self) -> None:
        """Wait until the service produces to the current broker. Raises `LabError` after `AGAIN_S`."""
        until = time.monotonic() + AGAIN_S
        while time.monotonic() < until:
            with contextlib.suppress(DependencyError):
                find_stream(self.settings)
                if self.broker.is_alive() and call("GET", f"{self.url}/readyz")["stream"] == "answers":
                    return
            time.sleep(0.05)
        raise LabError(f"the stream does not answer after {AGAIN_S:.0f} s")


@contextlib.contextmanager
def own_lab(design: Design, home_of: Settings) -> Iterator[OwnLab]:
    """Run the design with the smoke preset until the block ends."""
    with lab_up(design, Settings(home=home_of.home / "bench", preset=PRESET)) as lab:
        yield lab


@contextlib.contextmanager
def lab_up(design: Design, settings: Settings) -> Iterator[OwnLab]:
    """Run the design's service and worker and a broker until the block ends. The block starts when all are ready.

    Raises `LabError` if they do not get ready.
    """
    shutil.rmtree(settings.design_root(design.name) / "live", ignore_errors=True)
    settings.home.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), settings.home / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab", "up", design.name],
            cwd=REPOSITORY,
            env=environment(settings.home) | {"LAB_PRESET": settings.preset, "LAB_PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + UP_S
        while "Ctrl-C" not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > until:
                raise LabError("`lab up` was not ready in time", hint=tail(log))
            time.sleep(0.1)
        lab = OwnLab(url_of(design, settings.model_copy(update={"port": port})), settings)
        lab.await_stream()
        yield lab
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(STOP_S)
