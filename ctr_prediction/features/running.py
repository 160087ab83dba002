"""The counts of `aggregates.ad_stats_at` for one time after the other, without counting the whole window each time.

Counts are whole numbers, so adding the events since the last time and subtracting those that have left the window gives
exactly the result of a new count.
"""

from __future__ import annotations

import numpy as np

from ctr_prediction.domain import SLOTS, Floats
from ctr_prediction.events.history import EventLog


class RunningCounts:
    """Counts of `ads` ads in a window of `window_s`. Not thread-safe."""

    def __init__(self, ads: int, window_s: float) -> None:
        self._ads, self._window_s = ads, window_s
        self.forget()

    def forget(self) -> None:
        """Count everything again at the next time."""
        self._shown, self._clicks = np.zeros(self._ads * SLOTS, np.int64), np.zeros(self._ads, np.int64)
        self._since_ts, self._until_ts = -np.inf, -np.inf

    def changed(self, first_ts: float) -> None:
        """Call this when the log has got events that count from `first_ts` on. Later ones need no call."""
        if first_ts < self._until_ts:
            self.forget()

    def at(self, log: EventLog, t: float) -> tuple[Floats, Floats]:
        """float32[ads, SLOTS] impressions and float32[ads] reported clicks in the window before `t`."""
        self.changed(t)
        since_ts = t - self._window_s
        self._count(log, self._until_ts, t, 1)
        self._count(log, self._since_ts, since_ts, -1)
        self._since_ts, self._until_ts = since_ts, t
        return self._shown.reshape(self._ads, SLOTS).astype(np.float32), self._clicks.astype(np.float32)

    def _count(self, log: EventLog, from_ts: float, to_ts: float, sign: int) -> None:
        """Add (or subtract, if `sign` is -1) the events in from_ts <= t < to_ts."""
        shown, clicked = log.between(from_ts, to_ts), log.clicks_between(from_ts, to_ts)
        cell = log.ad[shown].astype(np.int64) * SLOTS + log.slot[shown]
        self._shown += sign * np.bincount(cell, minlength=len(self._shown))
        self._clicks += sign * np.bincount(log.ad[clicked], minlength=self._ads)
