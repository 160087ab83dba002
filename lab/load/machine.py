"""Measures whether the machine was free for a run: the CPU that other programs took, and the generator's lateness.

A run that breaks a limit of time on a disturbed machine says nothing about the service: its verdict is *inconclusive*.
A limit that holds on a disturbed machine holds. A wrong answer is never excused. The bounds:

- other programs may take more than `BUSY_SHARE` of all cores for at most `BUSY_TIME` of the run. A 99th percentile
  looks at the worst hundredth of a run, so a hundredth of the time is enough to break it;
- the load generator may send one request in a hundred more than a quarter of the smallest limit in milliseconds late.
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
    """Under which a run was measured.

    `other_share` of the CPU time of all cores went to other programs, and for `busy_time` of the run it was more than
    `BUSY_SHARE`; both None where the processes of the service are not known. `late_p99_ms` is what one request in a
    hundred exceeded between the moment when the generator should have sent it and the moment when it did.
    """

    other_share: float | None = None
    busy_time: float | None = None
    late_p99_ms: float = 0.0
    late_limit_ms: float = float("inf")

    @property
    def disturbances(self) -> list[str]:
        """What went past a bound, in words."""
        found = []
        if self.busy_time is not None and self.busy_time > BUSY_TIME:
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
        """*Inconclusive* for a broken limit of time where the machine was disturbed."""
        return Judgement.INCONCLUSIVE if judgement is Judgement.BROKEN and self.disturbances else judgement

    def row(self) -> dict[str, Any]:
        """For JSON and reports."""
        keys = ("other_share", "busy_time", "late_p99_ms", "late_limit_ms")
        numbers = {key: getattr(self, key) for key in keys}
        rounded = {key: value if value is None else round(value, 4) for key, value in numbers.items()}
        return {**rounded, "disturbances": self.disturbances}

    def describe(self) -> str:
        """One line for a terminal."""
        others = "not measured" if self.other_share is None else f"{self.other_share:.1%} of all cores"
        return f"CPU of other programs: {others}; load generator late by: {self.late_p99_ms:.1f} ms (p99)"


def late_limit_ms(limits_ms: Iterable[float]) -> float:
    """By how much a generator may be late where these are the limits of latency."""
    return LATE_SHARE * min(limits_ms, default=float("inf"))


@dataclass
class CpuWatch:
    """Use as a context. Samples the CPU of the whole machine and of our own processes: this one, the services with
    the process ids that `pids` gives, and all their children.

    `pids` gives none where the service is not a process of this machine. It is asked before each sample, since a
    service may be started again meanwhile.
    """

    pids: Callable[[], Sequence[int]]
    every_s: float = EVERY_S
    samples: list[tuple[float, float]] = field(default_factory=list)
    """(seconds, CPU-seconds of other programs)"""

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
        """What was seen so far."""
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
        """(process id, time of creation) -> CPU-seconds so far. A process that has ended is left out.

        One pass over all processes: `psutil` makes one for each process whose children it is asked for.
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
    """CPU-seconds that all cores have been busy since the machine started, time stolen by its host included."""
    times = psutil.cpu_times()._asdict()
    idle = ("idle", "iowait", "guest", "guest_nice")  # a guest's time is in that of `user` and `nice` already
    return float(sum(value for name, value in times.items() if name not in idle))
