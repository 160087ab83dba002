"""Whom a drill asks for: every second request is of somebody who comes again and again, the others of people who come
once.

Those who come again are asked for in each phase, so that what a failure costs is compared over the same people. Those
who come once are in no cache; and since they go by the clock, the next drill meets others, also when it follows at
once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

REGULARS, ALL = 250, 6000
"""how many come again, and how many there are in all, where the world has so many"""


class DrillCases:
    """`cases` as `Judge.cases` gives them, with requests at `rate_per_s`; from `now_s` on, seconds since the epoch."""

    def __init__(self, cases: Sequence[Any], rate_per_s: float, now_s: float | None = None) -> None:
        self.regulars = list(cases[:REGULARS])
        self._others = list(cases[REGULARS:]) or self.regulars
        self._first = int((time.time() if now_s is None else now_s) * rate_per_s / 2)

    def of(self, number: int) -> Any:
        """The case of that request."""
        turn, is_once = divmod(number, 2)
        if is_once:
            return self._others[(self._first + turn) % len(self._others)]
        return self.regulars[turn % len(self.regulars)]

    def regular(self, number: int) -> int | None:
        """Which of those who come again that request is of; None for one who comes once."""
        turn, is_once = divmod(number, 2)
        return None if is_once else turn % len(self.regulars)
