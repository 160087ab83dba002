"""Runs the lab of another checkout of this repository: its own code in its own environment, on free ports.

The layout of an older version differs, so its processes are recognised by their command lines, and not by its run
state.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psutil

from infra.design import Design
from infra.errors import LabError, UsageError
from infra.settings import Settings
from lab.bench.environment import environment
from lab.services.ports import free_port, url_of
from lab.services.processes import tail

UP_S, STOP_S = 1_200.0, 30.0
PRESET: Final = "small"


@dataclass(frozen=True)
class VersionLab:
    """A running lab: the address of its design's service, and the processes of service and worker."""

    url: str
    service: psutil.Process
    worker: psutil.Process


def python_of(checkout: Path) -> Path:
    """The interpreter of a checkout's environment. Raises `UsageError` if there is none."""
    python = checkout / ".venv" / "bin" / "python"
    if not (checkout / "lab" / "__main__.py").exists() or not python.exists():
        raise UsageError(
            f"{checkout} is no checkout of this repository with an environment",
            hint=f"for example: git worktree add {checkout} COMMIT && make -C {checkout} env",
        )
    return python


@contextlib.contextmanager
def lab_of(checkout: Path, design: Design, home: Path) -> Iterator[VersionLab]:
    """Build what is missing in `home` and run the design until the block ends. Raises `LabError` if it does not get
    ready."""
    home.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), home / "up.log"
    url = url_of(design, Settings(home=home, preset=PRESET, port=port))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(python_of(checkout)), "-m", "lab", "up", design.name],
            cwd=checkout,
            env=environment(home) | {"LAB_PRESET": PRESET, "LAB_PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + UP_S
        while not _is_ready(url):
            if process.poll() is not None:
                raise LabError(f"`lab up` of {checkout} ended before it was ready", hint=tail(log))
            if time.monotonic() > until:
                raise LabError(f"`lab up` of {checkout} was not ready in time", hint=tail(log))
            time.sleep(0.5)
        yield VersionLab(url, _process(process.pid, "serving", design), _process(process.pid, "working", design))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(STOP_S)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).is_success
    except httpx.TransportError:
        return False


def _process(supervisor: int, module: str, design: Design) -> psutil.Process:
    """The child that runs the module `lab….MODULE` for this design. Raises `LabError` if there is none."""
    for child in psutil.Process(supervisor).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            words = child.cmdline()
            if design.name in words and any(word.startswith("lab.") and word.endswith(f".{module}") for word in words):
                return child
    raise LabError(f"`lab up` runs no process lab….{module} of {design.name}")
