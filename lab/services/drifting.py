"""Runs the drift monitor of each design from time to time, as a child process of the monitor.

A child reads Parquet, loads the model and takes hundreds of megabytes for seconds; the monitor itself stays small.
Children run one after the other, with the lowest priority and a deadline, and only if the worker has written new files.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.design import Design
from infra.live.live_log import LIVE
from infra.settings import Settings

log = logging.getLogger(__name__)
SHORTEST_S, LONGEST_S = 15.0, 120.0
"""bounds of the pause between two rounds; it is half of the shortest window"""
DEADLINE_S = 300.0
LOWEST_PRIORITY = 19


@dataclass
class DriftRounds:
    """Context manager: a thread that looks at each design every few seconds."""

    designs: Sequence[Design]
    settings: Settings
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
        """One round: a child for each design whose log has grown."""
        for design in self.designs:
            newest = newest_change(self.settings.design_root(design.name) / LIVE)
            if newest and newest != self._seen.get(design.name) and not self._stop.is_set():
                self._seen[design.name] = newest
                self._update(design)

    def _run(self) -> None:
        while not self._stop.wait(self.every_s):
            try:
                self.look()
            except Exception:  # the next round tries again; the alerts of the monitor do not depend on this thread
                log.exception("the drift monitor failed")

    def _update(self, design: Design) -> None:
        command = [sys.executable, "-m", "lab", "drift", design.name, "--update", "--json"]
        environment = dict(os.environ) | {"LAB_PRESET": self.settings.preset, "OMP_NUM_THREADS": "1"}
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            pass_fds=[] if self.settings.parent_pipe is None else [self.settings.parent_pipe],
        )
        os.setpriority(os.PRIO_PROCESS, self._child.pid, LOWEST_PRIORITY)
        try:
            _, errors = self._child.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            _, errors = self._child.communicate()
        status, self._child = self._child.returncode, None
        if status and not self._stop.is_set():
            log.warning("lab drift %s --update ended with %d: %s", design.name, status, errors.decode(errors="replace"))


def newest_change(live: Path) -> float:
    """Modification time of the newest folder that holds files of the log; 0 without a log. A new file changes it."""
    return max((folder.stat().st_mtime for folder in live.glob("*/date=*/hour=*")), default=0.0)
