"""A comparison of two means that may be looked at after every observation: an always-valid confidence interval.

A fixed-size test that is repeated after each observation sooner or later finds a difference that does not exist. The
mixture sequential probability ratio test (Robbins 1970; Johari, Pekelis and Walsh 2015) keeps its error below `alpha`
however often it is looked at: it averages the likelihood ratio of the difference d over a normal prior N(0, tau^2),
here with the estimated variance of d. The variance is an estimate, so no interval is given before `FEWEST`
observations in each arm.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, sqrt

FEWEST = 30


@dataclass(frozen=True)
class Arm:
    """n observations with their sum and their sum of squares."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> Arm:
        return Arm(self.n + 1, self.total + value, self.squares + value * value)

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
    infinite with fewer than `FEWEST` observations in an arm, or without any variance.
    """
    if min(new.n, old.n) < FEWEST:
        return -inf, inf
    variance = new.variance / new.n + old.variance / old.n
    if variance <= 0 or effect <= 0:
        return -inf, inf
    prior = effect**2
    half = sqrt(2 * variance * (variance + prior) / prior * log(sqrt((variance + prior) / variance) / alpha))
    difference = new.mean - old.mean
    return difference - half, difference + half
