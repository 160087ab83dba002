"""A service under watch, and the limits of the watch (`lab.services.watching`)."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum, auto

from lab.services.processes import START_TIMEOUT_S, Service

RESTARTS, RESTART_WINDOW_S = 3, 60.0
"""Crashes in this time after which a service is still started again, if no other replica of its design serves."""


@dataclass(frozen=True)
class Limits:
    """Times in seconds. A replica hangs if `silent_probes` probes in a row get no answer within `probe_timeout_s` each.

    A replica that is merely slow does not: on two cores with 20 busy threads, under overload and with a release swap
    every three seconds, the slowest of 500 probes took 1.1 s.
    """

    start_timeout_s: float = START_TIMEOUT_S
    pause_s: float = 2.0
    longest_pause_s: float = 60.0
    probe_every_s: float = 1.0
    probe_timeout_s: float = 5.0
    silent_probes: int = 2

    @property
    def silent_s(self) -> float:
        return self.silent_probes * self.probe_timeout_s

    def pause_after(self, crashes: int) -> float:
        """Pause after this many crashes in a row: none, then `pause_s`, doubling up to `longest_pause_s`."""
        return 0.0 if crashes < 2 else min(self.pause_s * 2.0 ** min(crashes - 2, 60), self.longest_pause_s)


LIMITS = Limits()


class Phase(Enum):
    STARTING = auto()
    RUNNING = auto()
    OUT = auto()


@dataclass
class Watched:
    """A service under watch. `since` is the begin of its phase."""

    service: Service
    phase: Phase
    since: float
    crashes: list[float] = field(default_factory=list)
    """times of its crashes since it last ran for a minute"""
    pause_s: float = 0.0
    killed: str = ""
    """why the watch killed its process; empty if it did not"""
    probe: Future[bool] | None = None
    probe_at: float = 0.0
    """when the next probe is due"""
    silent: int = 0
    """probes in a row without an answer"""
    answered_at: float = 0.0

    @property
    def status(self) -> int | None:
        """Exit status of its process; None while the process lives."""
        assert self.service.process is not None
        return self.service.process.poll()

    @property
    def lives(self) -> bool:
        return self.phase is not Phase.OUT and self.status is None

    @property
    def serves(self) -> bool:
        return self.phase is Phase.RUNNING and not self.silent and not self.killed and self.status is None

    def enter(self, phase: Phase, now: float) -> None:
        self.phase, self.since, self.answered_at = phase, now, now
        self.killed, self.probe, self.probe_at, self.silent = "", None, now, 0
