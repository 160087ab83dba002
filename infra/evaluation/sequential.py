"""A comparison of two means that may be looked at after every observation: an always-valid confidence interval.

A fixed-size test that is repeated after each observation sooner or later finds a difference that does not exist. The
mixture sequential probability ratio test (Robbins 1970; Johari, Pekelis and Walsh 2015) keeps its error below `alpha`
however often it is looked at: it averages the likelihood ratio of the difference d over a normal prior N(0, tau^2),
here with the estimated variance of d. The variance is an estimate, so no interval is given before `FEWEST` independent
observations in each arm.

Chance assigns users to the arms, and not sessions, and the sessions of a user resemble each other. `Arm.of_users`
therefore takes the variance of the mean from the sums per user (the delta method for a ratio): a few users with many
long sessions do not make a difference sure.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, sqrt

import numpy as np
import numpy.typing as npt

FEWEST = 30


@dataclass(frozen=True)
class Arm:
    """n observations with their sum and their sum of squares. `users` is the number of users that they come from, None
    if they are independent."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0
    users: int | None = None

    @classmethod
    def of_users(cls, values: npt.NDArray[np.float64], users: npt.NDArray[np.int64]) -> Arm:
        """The observations `values` float64[n] of the users `users` int64[n]. The sum of squares is the one that n
        independent observations with the same variance of the mean would have."""
        n, total = len(values), float(values.sum())
        _, owner = np.unique(users, return_inverse=True)
        count = np.bincount(owner)
        if len(count) < 2:
            return cls(n, total, float((values**2).sum()), len(count))
        off = np.bincount(owner, values) - total / n * count
        variance = float(off @ off) / n * len(count) / (len(count) - 1)
        return cls(n, total, variance * (n - 1) + total**2 / n, len(count))

    def add(self, value: float) -> Arm:
        return Arm(self.n + 1, self.total + value, self.squares + value * value)

    @property
    def independent(self) -> int:
        return self.n if self.users is None else self.users

    @property
    def mean(self) -> float:
        return self.total / self.n if self.n else 0.0

    @property
    def variance(self) -> float:
        """Sample variance; 0 with fewer than two observations."""
        return max(self.squares - self.n * self.mean**2, 0.0) / (self.n - 1) if self.n > 1 else 0.0


def always_valid_interval(new: Arm, old: Arm, *, alpha: float, effect: float) -> tuple[float, float]:
    """The interval of mean(new) - mean(old) that holds at every look with probability 1 - `alpha`.

    `effect` > 0 is the size of difference for which the interval is narrowest: tau of the prior. The interval is
    infinite with fewer than `FEWEST` independent observations in an arm, or without any variance.
    """
    if min(new.independent, old.independent) < FEWEST:
        return -inf, inf
    variance = new.variance / new.n + old.variance / old.n
    if variance <= 0 or effect <= 0:
        return -inf, inf
    prior = effect**2
    half = sqrt(2 * variance * (variance + prior) / prior * log(sqrt((variance + prior) / variance) / alpha))
    difference = new.mean - old.mean
    return difference - half, difference + half
