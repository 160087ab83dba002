"""Counters of `lab live`: requests and events by outcome, and the measures of a population as sums.

The tally keeps only sums, so a run can last for days. Each request has exactly one outcome: requests = ok + degraded +
shed + failed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import sqrt
from typing import Any

from infra.evaluation.population import Measure, Visit


@dataclass
class Counts:
    """Counts of one run.

    `dropped` counts sessions beyond the limit of concurrent sessions. `events_given_up` counts events that the service
    refused, and events without an acknowledgement after all retries. `published` counts publications, which belong to
    no visit.
    """

    requests: int = 0
    ok: int = 0
    degraded: int = 0
    shed: int = 0
    failed: int = 0
    sessions: int = 0
    dropped: int = 0
    events_accepted: int = 0
    events_given_up: int = 0
    sent_again: int = 0
    published: int = 0
    publishing_given_up: int = 0

    @property
    def answered(self) -> int:
        return self.ok + self.degraded


@dataclass
class RatioSums:
    """Sums for the ratio of two totals over n cases and for its confidence interval."""

    n: int = 0
    a: float = 0.0
    b: float = 0.0
    aa: float = 0.0
    ab: float = 0.0
    bb: float = 0.0

    def add(self, a: float, b: float) -> None:
        self.n += 1
        self.a, self.b = self.a + a, self.b + b
        self.aa, self.ab, self.bb = self.aa + a * a, self.ab + a * b, self.bb + b * b

    @property
    def value(self) -> float:
        """The ratio; 0 if the denominator is 0."""
        return self.a / self.b if self.b else 0.0

    def interval(self) -> tuple[float, float]:
        """95% confidence interval by the delta method over cases."""
        if self.n < 2 or not self.b:
            return self.value, self.value
        rest = max(0.0, self.aa - 2 * self.value * self.ab + self.value**2 * self.bb)
        half = 1.96 * sqrt(rest * self.n / (self.n - 1)) / self.b
        return self.value - half, self.value + half


class Tally:
    """Thread-safe counters and measures of one run."""

    def __init__(self, measures: Sequence[Measure]) -> None:
        self.counts = Counts()
        self._measures = measures
        self._observed, self._expected = ({item.id: RatioSums() for item in measures} for _ in range(2))
        self._lock = threading.Lock()

    def count(self, **more: int) -> None:
        with self._lock:
            for name, number in more.items():
                setattr(self.counts, name, getattr(self.counts, name) + number)

    def ended(self, visit: Visit) -> None:
        """Add a finished visit to every measure with a non-zero denominator."""
        with self._lock:
            for sums, of_visit in ((self._observed, visit.observed), (self._expected, visit.expected)):
                for name, (above, below) in of_visit.items():
                    if below:
                        sums[name].add(above, below)

    def rows(self) -> list[dict[str, Any]]:
        """Per measure: the observed value, its 95% interval, and the oracle's expectation for the same responses."""
        with self._lock:
            found = []
            for item in self._measures:
                seen = self._observed[item.id]
                low, high = seen.interval()
                expected = self._expected[item.id].value
                row = {"id": item.id, "value": seen.value, "low": low, "high": high, "expected": expected}
                found.append({**row, "unit": item.unit, "measure": item.text})
            return found

    def counted(self) -> dict[str, int]:
        with self._lock:
            return {item.name: getattr(self.counts, item.name) for item in fields(Counts)}
