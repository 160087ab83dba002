"""Chooses the users of a drill's requests: every second request is for a regular user, the others for one-time users.

Regular users appear in each phase, so a drill compares the cost of a failure over the same users. One-time users miss
every cache. The clock chooses the one-time users, so the next drill draws other ones even if it follows immediately.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

REGULARS, ALL = 250, 6000
"""Number of regular users, and number of all users; a small world has fewer."""


class DrillCases:
    """Cases of one drill, from `Judge.cases`. Requests start at `now_s` (epoch seconds) and run at `rate_per_s`."""

    def __init__(self, cases: Sequence[Any], rate_per_s: float, now_s: float | None = None) -> None:
        self.regulars = list(cases[:REGULARS])
        self._others = list(cases[REGULARS:]) or self.regulars
        self._first = int((time.time() if now_s is None else now_s) * rate_per_s / 2)

    def of(self, number: int) -> Any:
        """Return the case of request `number`."""
        turn, is_once = divmod(number, 2)
        if is_once:
            return self._others[(self._first + turn) % len(self._others)]
        return self.regulars[turn % len(self.regulars)]

    def regular(self, number: int) -> int | None:
        """Return the index of the regular user of request `number`; None for a one-time user."""
        turn, is_once = divmod(number, 2)
        return None if is_once else turn % len(self.regulars)
