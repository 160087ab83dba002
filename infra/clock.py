"""The world's time. It resumes where the generated history ended and then runs as fast as ours.

Synthetic features would otherwise grow stale overnight: a history that ended on a fixed date is a day old
tomorrow, and every age in it would be wrong.
"""

from __future__ import annotations

import time


class WorldClock:
    """`now()` is `anchor` (seconds since the epoch, UTC) plus the seconds since this object was made."""

    def __init__(self, anchor: float) -> None:
        self._anchor, self._started = anchor, time.monotonic()

    def now(self) -> float:
        return self._anchor + time.monotonic() - self._started
