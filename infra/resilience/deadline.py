"""The deadline of a request. Callers pass it down, so that the timeouts of nested calls do not add up."""

from __future__ import annotations

import time
from dataclasses import dataclass

from infra.errors import DeadlineExceeded


@dataclass(frozen=True)
class Deadline:
    """Expires at `at`, in seconds of the monotonic clock."""

    at: float

    @classmethod
    def after_ms(cls, budget_ms: float) -> Deadline:
        return cls(time.monotonic() + budget_ms / 1000)

    def remaining_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    def tighter(self, budget_ms: float) -> Deadline:
        """The earlier of this deadline and `budget_ms` from now."""
        return Deadline(min(self.at, time.monotonic() + budget_ms / 1000))

    def check(self, what: str) -> None:
        """Raise `DeadlineExceeded` if no time is left to start `what`."""
        if self.remaining_s() == 0:
            raise DeadlineExceeded(f"no time left for {what}")
