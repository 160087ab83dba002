"""Runs the drift monitor of each design from time to time, and a retraining after a drift, as children of the monitor.

A child reads Parquet, loads or trains models and takes hundreds of megabytes; the monitor itself stays small. Children
run one after the other, with the lowest priority and a deadline, and only if the worker has written new files. A
retraining has a limit of memory too. RLIMIT_DATA counts what a process may write. RLIMIT_AS would also count the
gigabytes that XLA and Arrow reserve and never touch.

Only the embedded monitor retrains: after a drift, and while an alert asks for it (`infra.live.retraining_request`). In
the composed setting, Alertmanager posts the same alerts to the monitor, which only keeps the request, and the watch DAG
of Airflow asks `lab retrain --check`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.design import Design
from infra.live.live_log import LIVE
from infra.live.retraining_pace import must_wait
from infra.live.retraining_request import has_request
from infra.registry.rollout import read_rollout
from infra.settings import Settings
from infra.telemetry.drift.status import read_status
from infra.telemetry.timeline import read

log = logging.getLogger(__name__)
SHORTEST_S, LONGEST_S = 15.0, 120.0
"""bounds of the pause between two rounds; it is half of the shortest window"""
DEADLINE_S, BUILD_DEADLINE_S = 300.0, 3600.0
MOST_TEXT = 1000
"""characters of a failed child's messages that are logged"""
LOWEST_PRIORITY = 19


@dataclass
class DriftRounds:
    """Context manager: a thread that looks at each design every few seconds."""

    designs: Sequence[Design]
    settings: Settings
    retrains: bool = False
    _seen: dict[str, float] = field(default_factory=dict)
    """design -> modification time of the newest folder of its log when a child last ran"""

    def __post_init__(self) -> None:
        windows = [design.configuration(self.settings.preset).drift.drift_window_s for design in self.designs]
        self.every_s = min(max(min(windows) / 2, SHORTEST_S), LONGEST_S)
        self._stop = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="drift", daemon=True)

    def __enter__(self) -> DriftRounds:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if (child := self._child) is not None:
            child.terminate()
        self._thread.join(5.0)

    def look(self) -> None:
        """One round: a child for each design whose log has grown, or whose last window has become due."""
        for design in self.designs:
            root = self.settings.design_root(design.name)
            newest, due_at = newest_change(root / LIVE), read_status(root).due_at
            has_work = newest != self._seen.get(design.name) or 0 < due_at < time.time()
            if newest and has_work and not self._stop.is_set():
                self._seen[design.name] = newest
                self._child_of(design, "drift", "--update", "--json", deadline_s=DEADLINE_S)
                if self.retrains and not self._stop.is_set():
                    self._retrain(design)

    def _retrain(self, design: Design) -> None:
        """Build the design again if its model has drifted or an alert asks for it, unless the last retraining is too
        recent or its rollout has not ended."""
        root = self.settings.design_root(design.name)
        if read_rollout(root).is_active:
            return
        if not read_status(root).is_drifted and not has_request(root):
            return
        config = design.configuration(self.settings.preset).drift
        if reason := must_wait(read(self.settings, design.name), config, time.time()):
            log.info("%s is not retrained: %s", design.name, reason)
            return
        log.info("retraining %s", design.name)
        self._child_of(design, "retrain", deadline_s=BUILD_DEADLINE_S, memory_gb=self.settings.retrain_memory_gb)

    def _run(self) -> None:
        while not self._stop.wait(self.every_s):
            try:
                self.look()
            except Exception:  # the next round tries again; the alerts of the monitor do not depend on this thread
                log.exception("the drift monitor failed")

    def _child_of(self, design: Design, command: str, *options: str, deadline_s: float, memory_gb: float = 0.0) -> None:
        """Run `lab COMMAND DESIGN` to its end, and log its messages if it fails."""
        environment = dict(os.environ) | {"LAB_PRESET": self.settings.preset, "OMP_NUM_THREADS": "1"}
        child = subprocess.Popen(
            [sys.executable, "-m", "lab", command, design.name, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            pass_fds=[] if self.settings.parent_pipe is None else [self.settings.parent_pipe],
        )
        self._child = child
        _run_when_idle(child.pid)
        if memory_gb:
            _limit_memory(child.pid, memory_gb)
        try:
            _, errors = child.communicate(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            child.kill()
            _, errors = child.communicate()
        self._child = None
        if child.returncode and not self._stop.is_set():
            text = errors.decode(errors="replace").strip()[-MOST_TEXT:]
            log.warning("lab %s %s ended with %d: %s", command, design.name, child.returncode, text)


def newest_change(live: Path) -> float:
    """Modification time of the newest folder that holds files of the log; 0 without a log. A new file changes it."""
    return max((folder.stat().st_mtime for folder in live.glob("*/date=*/hour=*")), default=0.0)


def _run_when_idle(pid: int) -> None:
    """Let a process, and those that it starts, run only when no other one wants the processor."""
    os.setpriority(os.PRIO_PROCESS, pid, LOWEST_PRIORITY)
    if hasattr(os, "SCHED_IDLE"):  # Linux; elsewhere the priority has to do
        with contextlib.suppress(OSError):
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))


def _limit_memory(pid: int, memory_gb: float) -> None:
    """Limit the memory that a process, and each process that it starts, may allocate."""
    if sys.platform == "linux":  # elsewhere no process can limit another one
        limit = int(memory_gb * 1e9)
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))
