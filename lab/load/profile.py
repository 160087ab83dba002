"""Samples the stacks of running processes with py-spy and measures their CPU time meanwhile.

py-spy reads the memory of a process from outside and does not pause it, so a profile changes neither the answers nor,
by much, the speed. A thread that waits is not sampled.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from infra.errors import LabError
from lab.load.stacks import Stack, read_stacks

PER_S = 200
START_S, STOP_S = 30.0, 20.0
PY_SPY = Path(sys.executable).with_name("py-spy")


@dataclass
class ProcessProfile:
    """The samples of one process, and its CPU seconds while they were taken."""

    name: str
    cpu_s: float = 0.0
    stacks: Counter[Stack] = field(default_factory=Counter)

    def cpu_ms(self, samples: int, requests: int) -> float:
        """The CPU milliseconds a request that `samples` of all samples stand for."""
        return 1000 * self.cpu_s * samples / max(self.stacks.total(), 1) / max(requests, 1)


@contextmanager
def profiled(pids: Mapping[str, int], folder: Path) -> Iterator[list[ProcessProfile]]:
    """Sample the processes `pids` (name -> process id) until the block ends. Then the yielded profiles are complete.

    Raises `LabError` if py-spy is missing, may not read a process or does not end, or if a process ends meanwhile.
    """
    if not PY_SPY.exists():
        raise LabError(f"py-spy is not installed at {PY_SPY}", hint="run: make up, which installs what is missing")
    folder.mkdir(parents=True, exist_ok=True)
    profiles: list[ProcessProfile] = []
    with ExitStack() as stack:
        for name, pid in pids.items():
            profiles.append(stack.enter_context(_one(name, pid, folder / f"{name}.txt")))
        yield profiles


@contextmanager
def _one(name: str, pid: int, output: Path) -> Iterator[ProcessProfile]:
    command = [str(PY_SPY), "record", "--pid", str(pid), "--output", str(output), "--rate", str(PER_S)]
    command += ["--format", "raw", "--full-filenames", "--function", "--nonblocking", "--duration", "86400"]
    output.unlink(missing_ok=True)
    log = output.with_suffix(".log")
    with log.open("wb") as errors:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
    try:
        until = time.monotonic() + START_S
        while "Sampling process" not in log.read_text(errors="replace"):
            if process.poll() is not None or time.monotonic() > until:
                raise _refused(name, pid, log)
            time.sleep(0.05)
        found, before = ProcessProfile(name), _cpu_s(name, pid)
        yield found
        found.cpu_s = _cpu_s(name, pid) - before
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise _refused(name, pid, log) from None
        if not output.exists():
            raise _refused(name, pid, log)
        found.stacks.update(read_stacks(output.read_text(errors="replace").splitlines()))
    finally:
        process.kill()  # no effect on a process that has ended
        process.wait(STOP_S)


def _cpu_s(name: str, pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        raise LabError(f"{name} ended while it was sampled", hint="see: lab status") from None
    return float(times.user + times.system)


def _refused(name: str, pid: int, log: Path) -> LabError:
    lines = log.read_text(errors="replace").strip().splitlines() or ["py-spy gave no reason"]
    hint = f"py-spy says: {lines[-1]}; on macOS only root may sample a process: sudo {PY_SPY.parent}/lab profile …"
    return LabError(f"py-spy could not sample {name} (process {pid})", hint=hint)
