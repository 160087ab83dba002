"""Moves running rollouts on, as a thread of the monitor.

Every two seconds the thread compares the counts of the replicas with the guardrails and takes a bad challenger back at
once. A child (`lab rollout DESIGN --follow`) also reads the live log, moves the rollout on, and sets the registry's
aliases, for as long as the rollout runs; it takes more memory than the monitor should keep. Of several monitors, the
one with the lease does this. A monitor that starts again goes on from the files.
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
from pathlib import Path

from infra.design import Design
from infra.live.rollout_step import guard
from infra.registry.aliases import is_behind
from infra.registry.rollout import Lease, read_rollout
from infra.serving.release_tally import FOLDER, forget_tallies
from infra.settings import Settings

log = logging.getLogger(__name__)
LOOK_S, PAUSE_S, AGAIN_S = 2.0, 2.0, 30.0
"""seconds between two looks, between two children of a rollout, and after a child that has failed"""
LONGEST_S = 600.0
"""a child ends by itself long before"""
NICE = 10
MOST_TEXT = 1000


@dataclass(frozen=True)
class Child:
    """A process that follows a rollout since `started_s` of `time.monotonic`."""

    process: subprocess.Popen[bytes]
    started_s: float


@dataclass
class Rollouts:
    """Context manager: a thread that moves the rollouts of these designs on."""

    designs: Sequence[Design]
    settings: Settings
    look_s: float = LOOK_S
    pause_s: float = PAUSE_S
    _next: dict[str, float] = field(default_factory=dict)
    """design -> time (monotonic) of its next child"""
    _children: dict[str, Child] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._leases = {one.name: Lease(self.settings.design_root(one.name)) for one in self.designs}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rollouts", daemon=True)

    def __enter__(self) -> Rollouts:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5.0)
        for child in self._children.values():
            child.process.terminate()
        for lease in self._leases.values():
            lease.give_back()

    def look(self) -> None:
        """One round over all designs. The next round tries again what fails."""
        for design in self.designs:
            try:
                self._look(design)
            except Exception:  # the rollouts of the other designs go on
                log.exception("cannot move the rollout of %s on", design.name)

    def _look(self, design: Design) -> None:
        root = self.settings.design_root(design.name)
        rollout = read_rollout(root)
        if self._has_child(design.name) and not rollout.is_active:
            return
        if not (rollout.is_active or is_behind(root, rollout)) or not self._leases[design.name].take():
            return
        if rollout.is_active and (reason := guard(design, self.settings, rollout)):
            log.warning("%s: version %d is rolled back: %s", design.name, rollout.version, reason)
            self._next[design.name] = 0.0  # the registry has to be told
        if not self._has_child(design.name) and time.monotonic() >= self._next.get(design.name, 0.0):
            self._follow(design)

    def _run(self) -> None:
        while not self._stop.wait(self.look_s):
            self.look()

    def _follow(self, design: Design) -> None:
        """Start the design's child."""
        forget_tallies(self.settings.design_root(design.name))
        messages = self._messages(design.name)
        messages.parent.mkdir(parents=True, exist_ok=True)
        with messages.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "lab", "rollout", design.name, "--follow"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                env=dict(os.environ) | {"LAB_PRESET": self.settings.preset, "OMP_NUM_THREADS": "1"},
                pass_fds=[] if self.settings.parent_pipe is None else [self.settings.parent_pipe],
            )
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        self._children[design.name] = Child(process, time.monotonic())

    def _has_child(self, name: str) -> bool:
        """Whether the design's child runs. One that runs too long is killed; the messages of one that has failed are
        logged."""
        child = self._children.get(name)
        if child is None:
            return False
        status = child.process.poll()
        if status is None:
            if time.monotonic() - child.started_s > LONGEST_S:
                child.process.kill()
            return True
        del self._children[name]
        self._next[name] = max(self._next.get(name, 0.0), time.monotonic() + (AGAIN_S if status else self.pause_s))
        if status:
            text = self._messages(name).read_text(errors="replace").strip()[-MOST_TEXT:]
            log.warning("lab rollout %s --follow ended with %d: %s", name, status, text)
        return False

    def _messages(self, name: str) -> Path:
        """The file with the messages of the design's newest child."""
        return self.settings.design_root(name) / FOLDER / "follow.log"
