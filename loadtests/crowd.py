"""Draws the users of a load test: ids by Zipf's law, and a share of ids that the service does not know."""

from __future__ import annotations

import random
from bisect import bisect_left
from itertools import accumulate

UNKNOWN_SHARE = 0.05


class Crowd:
    """Draws user ids by Zipf's law with exponent 1, spread over the id space; `UNKNOWN_SHARE` of them are unknown."""

    def __init__(self, users: int) -> None:
        self._users = users
        self._weights = list(accumulate(1 / rank for rank in range(1, users + 1)))

    def pick(self, rng: random.Random) -> int:
        if rng.random() < UNKNOWN_SHARE:
            return rng.randrange(10**9, 2 * 10**9)
        rank = bisect_left(self._weights, rng.random() * self._weights[-1])
        return rank * 7919 % self._users
