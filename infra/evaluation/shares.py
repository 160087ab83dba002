"""Judges a share of requests by its binomial interval, so that a single request does not change the verdict.

The verdict for a share with the limits `low` and `high`:

- *broken*: the whole 95% interval (Clopper-Pearson) lies below `low` or above `high`;
- *not enough requests*: not broken, but the run is too short to detect a violation. It needs 100 requests, and enough
  for one expected request beyond the limit: 1,000 for a limit of 0.999;
- *holds*: otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

CONFIDENCE = 0.95
FEWEST = 100


class Judgement(StrEnum):
    """The verdict of a run on one limit."""

    HOLDS = "holds"
    BROKEN = "broken"
    TOO_FEW = "not enough requests"
    INCONCLUSIVE = "inconclusive"

    @classmethod
    def of_all(cls, found: Iterable[Judgement]) -> Judgement:
        """Return the most severe judgement of a run."""
        judgements = set(found)
        by_severity = (cls.BROKEN, cls.INCONCLUSIVE, cls.TOO_FEW)
        return next((one for one in by_severity if one in judgements), cls.HOLDS)


@dataclass(frozen=True)
class Share:
    """The share of `hits` in `total` requests."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """The share, or NaN without requests."""
        return self.hits / self.total if self.total else math.nan

    def interval(self) -> tuple[float, float]:
        """Return the two-sided Clopper-Pearson interval at `CONFIDENCE`; (0, 1) without requests."""
        from scipy.special import betaincinv  # half a second, which most commands of `lab` need not spend

        tail, misses = (1 - CONFIDENCE) / 2, self.total - self.hits
        low = float(betaincinv(self.hits, misses + 1, tail)) if self.hits else 0.0
        high = float(betaincinv(self.hits + 1, misses, 1 - tail)) if misses else 1.0
        return low, high

    def judge(self, low: float = 0.0, high: float = 1.0) -> Judgement:
        """Return the judgement for the limits `low` and `high` (rule in the module's docstring)."""
        least, most = self.interval()
        if most < low or least > high:
            return Judgement.BROKEN
        return Judgement.HOLDS if self.total >= fewest(low, high) else Judgement.TOO_FEW


def fewest(low: float, high: float) -> int:
    """Return the minimum number of requests for judging these limits."""
    allowed = [share for share in (1 - low, high) if 0 < share < 1]
    return max(FEWEST, *(math.ceil(1 / share - 1e-6) for share in allowed)) if allowed else FEWEST
