"""Measures how busy the machine is during a run: the CPU time of other programs, and the load generator's lateness.

A limit that breaks on a disturbed machine proves nothing about the service: the verdict is *inconclusive*. A limit that
holds on a disturbed machine counts as held. Other programs excuse any limit. A late generator sends its requests in
bursts, so it excuses latencies and shed requests, but no degraded responses. A wrong response breaks a run on any
machine. The bounds:

- Other programs may take more than `BUSY_SHARE` of all cores for at most `BUSY_TIME` of the run. A 99th percentile
  covers the worst hundredth of a run, so a disturbance for a hundredth of the time can break it.
- The p99 of the load generator's lateness may be at most `LATE_SHARE` of the smallest latency limit in milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import psutil

from infra.evaluation.shares import Judgement

BUSY_SHARE, BUSY_TIME, LATE_SHARE = 0.2, 0.01, 0.25
EVERY_S = 1.0


@dataclass(frozen=True)
class Conditions:
    """Conditions of the machine during a run.

    `other_share` is the share of the CPU time of all cores that other programs took. `busy_time` is the share of the
    run in which other programs took more than `BUSY_SHARE`. Both are None if the processes of the service are not
    known. `late_p99_ms` is the p99 of the delay between the planned and the actual send time of a request.
    """

    other_share: float | None = None
    busy_time: float | None = None
    late_p99_ms: float = 0.0
    late_limit_ms: float = float("inf")

    @property
    def is_busy(self) -> bool:
        """True if other programs took the CPU for longer than the bound."""
        return self.busy_time is not None and self.busy_time > BUSY_TIME

    @property
    def disturbances(self) -> list[str]:
        """Descriptions of the exceeded bounds."""
        found = []
        if self.busy_time is not None and self.is_busy:
            found.append(
                f"other programs took more than {BUSY_SHARE:.0%} of the CPU for {self.busy_time:.0%} of the run "
                f"(bound {BUSY_TIME:.0%})"
            )
        if self.late_p99_ms > self.late_limit_ms:
            found.append(
                f"the load generator was {self.late_p99_ms:.1f} ms late with 1 request in 100 "
                f"(bound {self.late_limit_ms:g} ms)"
            )
        return found

    def excuse(self, judgement: Judgement) -> Judgement:
        """Return *inconclusive* for a broken limit on a disturbed machine, else the judgement unchanged."""
        return Judgement.INCONCLUSIVE if judgement is Judgement.BROKEN and self.disturbances else judgement

    def excuse_degraded(self, judgement: Judgement) -> Judgement:
        """Return *inconclusive* for a broken share of degraded responses if other programs took the CPU, else the
        judgement unchanged."""
        return Judgement.INCONCLUSIVE if judgement is Judgement.BROKEN and self.is_busy else judgement

    def row(self) -> dict[str, Any]:
        """The conditions as JSON values."""
        keys = ("other_share", "busy_time", "late_p99_ms", "late_limit_ms")
        numbers = {key: getattr(self, key) for key in keys}
        rounded = {key: value if value is None else round(value, 4) for key, value in numbers.items()}
        return {**rounded, "disturbances": self.disturbances}

    def describe(self) -> str:
        """The conditions as one line for the terminal."""
        others = "not measured" if self.other_share is None else f"{self.other_share:.1%} of all cores"
        return f"CPU of other programs: {others}; load generator late by: {self.late_p99_ms:.1f} ms (p99)"


def late_limit_ms(limits_ms: Iterable[float]) -> float:
    """Return the p99 lateness that a load generator may have under these latency limits, in milliseconds."""
    return LATE_SHARE * min(limits_ms, default=float("inf"))


@dataclass
class CpuWatch:
    """Context manager that samples the CPU time of the machine and of the lab's own processes.

    Own processes are this process, the services with the process ids from `pids`, and the children of both. `pids`
    returns no ids if the service does not run on this machine. The watch calls `pids` for each sample, because a
    service can restart during a run.
    """

    pids: Callable[[], Sequence[int]]
    every_s: float = EVERY_S
    samples: list[tuple[float, float]] = field(default_factory=list)
    """Samples of (length in seconds, CPU-seconds of other programs)."""

    def __enter__(self) -> CpuWatch:
        self._ended = threading.Event()
        self._before = (time.perf_counter(), busy_s(), self._own())
        self._thread = threading.Thread(target=self._sample, name="cpu-watch", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def conditions(self, late_p99_ms: float, late_limit: float) -> Conditions:
        """Return the conditions over the samples so far."""
        seconds = sum(lasted for lasted, _ in self.samples)
        if not self.pids() or not seconds:
            return Conditions(late_p99_ms=late_p99_ms, late_limit_ms=late_limit)
        cores = psutil.cpu_count() or 1
        busy = sum(lasted for lasted, others in self.samples if others > BUSY_SHARE * cores * lasted)
        other_share = sum(others for _, others in self.samples) / seconds / cores
        return Conditions(other_share, busy / seconds, late_p99_ms, late_limit)

    def _sample(self) -> None:
        while not self._ended.wait(self.every_s):
            then, busy_then, own_then = self._before
            now, busy, own = time.perf_counter(), busy_s(), self._own()
            ours = sum(spent - own_then.get(process, 0.0) for process, spent in own.items())
            self.samples.append((now - then, max(0.0, busy - busy_then - ours)))
            self._before = now, busy, own

    def _own(self) -> dict[tuple[int, float], float]:
        """(process id, creation time) -> CPU-seconds so far. A process that has ended is left out.

        The function makes one pass over all processes, because `psutil`'s `children()` makes a pass per call.
        """
        processes, children = dict[int, psutil.Process](), dict[int, list[int]]()
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                children.setdefault(process.ppid(), []).append(process.pid)
                processes[process.pid] = process
        found, left = dict[tuple[int, float], float](), {os.getpid(), *self.pids()}
        while left:
            pid = left.pop()
            left.update(children.pop(pid, ()))
            with contextlib.suppress(psutil.Error, KeyError):
                spent = processes[pid].cpu_times()
                found[pid, processes[pid].create_time()] = spent.user + spent.system
        return found


def busy_s() -> float:
    """CPU-seconds that all cores have been busy since the machine started, including time stolen by its host."""
    times = psutil.cpu_times()._asdict()
    idle = ("idle", "iowait", "guest", "guest_nice")  # `user` and `nice` already include the time of guests
    return float(sum(value for name, value in times.items() if name not in idle))
