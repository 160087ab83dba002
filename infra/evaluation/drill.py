"""A failure drill as data: the steady state, the fault, the hypothesis during the fault, and the recovery limits.

The same value works in both settings. `lab.drills.run` runs a drill under load; a design lists its drills in
`drills.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

STEADY, BROKEN, RECOVERED = "steady", "broken", "recovered"
PHASES = (STEADY, BROKEN, RECOVERED)
LEAST_REQUESTS = 1000
"""requests per phase; a share of 0.999 is not measurable with fewer"""


@dataclass(frozen=True)
class Probe:
    """A measurable hypothesis: `figure` lies between `low` and `high`, inclusive. `infra.evaluation.shares` judges a
    share by its interval.

    A phase has the figures `requests`, `success_share`, `p99_ms` and `degraded_share`. The whole drill has
    `breaker_open_s` (from the first affected response until the breaker opens) and `recovery_s` (from the time when the
    dependency is available again until the last affected response).
    """

    figure: str
    low: float
    high: float
    unit: str = ""

    def holds(self, value: float | None) -> bool:
        """True if `value` is within the limits; False for None, an unmeasured figure."""
        return value is not None and self.low <= value <= self.high


@dataclass(frozen=True)
class Inject:
    """The fault of a drill: a catalogue fault at a port (embedded) or a stopped container (composed).

    The stop of the container takes effect after `effect_after_s`, for example when the container's last output expires.
    """

    port: str
    fault: str
    service: str
    delay_s: float = 0.0
    effect_after_s: float = 0.0


@dataclass(frozen=True)
class Drill:
    """One drill under continuous load. The lab checks `steady` before and after the fault, `expect` during the fault,
    and `recover` for the recovery."""

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
