"""Moves running rollouts on, as a thread of the monitor.

Every two seconds the thread compares the counts of the replicas with the guardrails and takes a bad challenger back at
once. Every few seconds a child (`lab rollout DESIGN --advance`) also reads the live log, moves the rollout on, and sets
the registry's aliases; it takes more memory than the monitor should keep. Of several monitors, the one with the lease
does this. A monitor that starts again goes on from the files.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from infra.design import Design
from infra.live.rollout_step import guard
from infra.registry.aliases import is_behind
from infra.registry.rollout import Lease, read_rollout
from infra.serving.release_tally import forget_tallies
from infra.settings import Settings

log = logging.getLogger(__name__)
LOOK_S, ADVANCE_S, AGAIN_S = 2.0, 6.0, 30.0
"""seconds between two looks, between two children of a running rollout, and after a child that has failed"""
DEADLINE_S = 120.0
NICE = 10
MOST_TEXT = 1000


@dataclass
class Rollouts:
    """Context manager: a thread that moves the rollouts of these designs on."""

    designs: Sequence[Design]
    settings: Settings
    look_s: float = LOOK_S
    advance_s: float = ADVANCE_S
    _next: dict[str, float] = field(default_factory=dict)
    """design -> time (monotonic) of its next child"""

    def __post_init__(self) -> None:
        self._leases = {one.name: Lease(self.settings.design_root(one.name)) for one in self.designs}
        self._stop = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="rollouts", daemon=True)

    def __enter__(self) -> Rollouts:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if (child := self._child) is not None:
            child.terminate()
        self._thread.join(5.0)
        for lease in self._leases.values():
            lease.give_back()

    def look(self) -> None:
        """One round over all designs."""
        for design in self.designs:
            root = self.settings.design_root(design.name)
            rollout = read_rollout(root)
            if not (rollout.is_active or is_behind(root, rollout)) or not self._leases[design.name].take():
                continue
            if rollout.is_active and (reason := guard(design, self.settings, rollout)):
                log.warning("%s: version %d is rolled back: %s", design.name, rollout.version, reason)
                self._next[design.name] = 0.0  # the registry has to be told
            if time.monotonic() >= self._next.get(design.name, 0.0):
                is_done = self._advance(design)
                self._next[design.name] = time.monotonic() + (self.advance_s if is_done else AGAIN_S)

    def _run(self) -> None:
        while not self._stop.wait(self.look_s):
            try:
                self.look()
            except Exception:  # the next round tries again
                log.exception("cannot move a rollout on")

    def _advance(self, design: Design) -> bool:
        """Run the child to its end. False if it fails; its messages are logged."""
        if self._stop.is_set():
            return True
        forget_tallies(self.settings.design_root(design.name))
        self._child = subprocess.Popen(
            [sys.executable, "-m", "lab", "rollout", design.name, "--advance"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(os.environ) | {"LAB_PRESET": self.settings.preset, "OMP_NUM_THREADS": "1"},
            pass_fds=[] if self.settings.parent_pipe is None else [self.settings.parent_pipe],
        )
        os.setpriority(os.PRIO_PROCESS, self._child.pid, NICE)
        try:
            _, errors = self._child.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            _, errors = self._child.communicate()
        status, self._child = self._child.returncode, None
        if status and not self._stop.is_set():
            text = errors.decode(errors="replace").strip()[-MOST_TEXT:]
            log.warning("lab rollout %s --advance ended with %d: %s", design.name, status, text)
        return not status
