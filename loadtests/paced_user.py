"""The part of a Locust user that all designs share: random request times at a fixed mean rate, and time limits."""

from __future__ import annotations

import random
from itertools import count

from locust import FastHttpUser

from loadtests.pace import Pace

REQUESTS_PER_USER_S = 5
_seeds = count()


class PacedUser(FastHttpUser):
    """Sends five requests per second on average. Request times are random, so users do not synchronise."""

    abstract = True
    network_timeout = connection_timeout = 5.0

    def on_start(self) -> None:
        self.rng = random.Random(next(_seeds))
        self.pace = Pace(self.rng, REQUESTS_PER_USER_S)
        self.wait()  # all users start at once; the wait spreads their first requests

    def wait_time(self) -> float:
        return self.pace.wait_s()
