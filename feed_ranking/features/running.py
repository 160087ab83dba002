"""The counts of posts and creators of `aggregates` for one time after the other, without counting the whole window each
time: adds the events since the last time and subtracts those that have left the window.

Counts are whole numbers and stay exact. A sum of `dwell_s` may differ from a new sum by its rounding, less than a
billionth of it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from feed_ranking.events.history import EventLog
from feed_ranking.features.aggregates import reactions_to_creators, reactions_to_posts

Sums = npt.NDArray[np.float64]
"""float64[size, REACTIONS]"""


class RunningSums:
    """Sums by `count` (log, window, size) in a window of `window_s`. Not thread-safe."""

    def __init__(self, count: Callable[[EventLog, slice, int], Sums], window_s: float) -> None:
        self._count, self._window_s = count, window_s
        self.forget()

    def forget(self) -> None:
        """Count everything again at the next time."""
        self._sums: Sums | None = None
        self._since_ts, self._until_ts = -np.inf, -np.inf

    def changed(self, first_ts: float) -> None:
        """Call this when the log has got events that count from `first_ts` on. Later ones need no call."""
        if first_ts < self._until_ts:
            self.forget()

    def at(self, log: EventLog, size: int, t: float) -> Sums:
        """The sums in the window before `t`. `size` may grow from one time to the next."""
        self.changed(t)
        since_ts = t - self._window_s
        if self._sums is None:
            sums = self._count(log, log.between(since_ts, t), size)
        else:
            sums = self._count(log, log.between(self._until_ts, t), size)
            sums[: len(self._sums)] += self._sums
            sums -= self._count(log, log.between(self._since_ts, since_ts), size)
        self._sums, self._since_ts, self._until_ts = sums, since_ts, t
        return sums


class RunningCounts:
    """The reactions to all posts ever, and to all creators in a window of `window_s`."""

    def __init__(self, window_s: float) -> None:
        self.of_posts = RunningSums(reactions_to_posts, np.inf)
        self.of_creators = RunningSums(reactions_to_creators, window_s)

    def changed(self, first_ts: float) -> None:
        self.of_posts.changed(first_ts)
        self.of_creators.changed(first_ts)
