"""When one simulated user asks: by the clock, at random moments, however long the earlier answers took.

Users who think only after their answer slow down with the service, and ask for less than they were meant to.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable


class Pace:
    """A Poisson process of requests. A user whose last answer came too late for the next request asks at once.

    Locust calls `wait_s` and sleeps so long; the task calls `woke` first, which tells how late the generator is.
    """

    def __init__(self, rng: random.Random, rate_per_s: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._rng, self._rate_per_s, self._clock = rng, rate_per_s, clock
        self._due = self._planned = clock()

    def wait_s(self) -> float:
        now = self._clock()
        self._due += self._rng.expovariate(self._rate_per_s)
        self._planned = max(self._due, now)
        return self._planned - now

    def woke(self) -> float:
        """Milliseconds since the moment when this request should have been sent."""
        return (self._clock() - self._planned) * 1000
