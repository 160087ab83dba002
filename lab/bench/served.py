"""Serves a built design in a process of its own, without a worker or a broker, while a benchmark asks it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from infra.design import Design
from infra.errors import LabError
from infra.settings import REPOSITORY
from lab.bench.environment import environment
from lab.services.ports import base_port_for, free_port

READY_S, STOP_S = 60.0, 15.0


@contextmanager
def served(design: Design, home: Path, preset: str, log: Path) -> Iterator[str]:
    """Yield the address of the service once it is ready. Raises `LabError` if it does not get ready."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "lab.services.serving", design.name],
            cwd=REPOSITORY,
            env=environment(home) | {"LAB_PRESET": preset, "LAB_PORT": str(base_port_for(design, port))},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        _await(url, process)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S)


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(f"{url}/readyz", timeout=2).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise LabError("the service was not ready in time")
