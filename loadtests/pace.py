"""Schedules the requests of one simulated user by the clock, independent of the latency of earlier responses.

A user that waits a fixed time after each response slows down with the service, so the request rate falls below target.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable


class Pace:
    """A Poisson process of requests. If a response arrives after the next request was due, the next request starts at
    once.

    Locust calls `wait_s` and sleeps for the returned seconds. The task first calls `send_lag_ms`, which measures the
    lateness of the load generator.
    """

    def __init__(self, rng: random.Random, rate_per_s: float, clock: Callable[[], float] = time.perf_counter) -> None:
        self._rng, self._rate_per_s, self._clock = rng, rate_per_s, clock
        self._due = self._planned = clock()

    def wait_s(self) -> float:
        now = self._clock()
        self._due += self._rng.expovariate(self._rate_per_s)
        self._planned = max(self._due, now)
        return self._planned - now

    def send_lag_ms(self) -> float:
        """Milliseconds since the planned send time of this request."""
        return (self._clock() - self._planned) * 1000
