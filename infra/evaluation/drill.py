"""A failure drill as data: what is normal, what is broken, what must hold meanwhile, and how soon it must be over.

The same value is drilled in both settings. `lab.drills.run` runs it under load; a design lists its own in `drills.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

STEADY, BROKEN, RECOVERED = "steady", "broken", "recovered"
PHASES = (STEADY, BROKEN, RECOVERED)
LEAST_REQUESTS = 1000
"""in each phase; with fewer, a share of 0.999 means nothing"""


@dataclass(frozen=True)
class Probe:
    """A hypothesis with a number: `figure` lies within `low` and `high`, both included. A share is judged by its
    interval (`infra.evaluation.shares`).

    Figures of a phase are `requests`, `success_share`, `p99_ms` and `degraded_share`; of the whole drill,
    `breaker_open_s` (from the first answer that was hurt until the breaker opened) and `recovery_s` (from the moment
    when the part answered again until the last answer that was hurt).
    """

    figure: str
    low: float
    high: float
    unit: str = ""

    def holds(self, value: float | None) -> bool:
        """What was never seen holds nothing."""
        return value is not None and self.low <= value <= self.high


@dataclass(frozen=True)
class Inject:
    """What is broken: a fault of the catalogue at a port (embedded), or a stopped container (composed)."""

    port: str
    fault: str
    service: str
    delay_s: float = 0.0


@dataclass(frozen=True)
class Drill:
    """Load goes on all the time: `steady` is probed before the fault and again when it is over, `expect` while it
    lasts, `recover` about the way back."""

    name: str
    title: str
    hypothesis: str
    method: Inject
    steady: tuple[Probe, ...]
    expect: tuple[Probe, ...]
    recover: tuple[Probe, ...]
    rate_per_s: float = 40.0
    requests: int = LEAST_REQUESTS

    @property
    def probes(self) -> tuple[Probe, ...]:
        return (*self.steady, *self.expect, *self.recover)
