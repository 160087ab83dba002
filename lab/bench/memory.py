"""Samples the memory of a process and of its children, which a build starts for steps and for parts of steps."""

from __future__ import annotations

import threading
from types import TracebackType

import psutil

from lab.services.runstate import pss_mb

EVERY_S = 0.5


class FamilyMemory:
    """Context manager. `peak_mb` is the largest sum of the memory of process `pid` and its descendants.

    Memory is PSS, so that pages that processes share count once; resident memory where the system has no PSS.
    """

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0.0
        self._process, self._stop = psutil.Process(pid), threading.Event()
        self._thread = threading.Thread(target=self._sample, name="family-memory", daemon=True)

    def __enter__(self) -> FamilyMemory:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            try:
                family = [self._process, *self._process.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self.peak_mb = max(self.peak_mb, sum(map(_mb, family)))
            if self._stop.wait(EVERY_S):
                return


def _mb(process: psutil.Process) -> float:
    """Memory in MB; 0 for a process that has ended."""
    try:
        return pss_mb(process.pid)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0
