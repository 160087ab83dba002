"""Judges a share of requests by its binomial interval, so that one request more or less decides nothing.

The rule, for a share that has to lie within `low` and `high`:

- *broken*: the whole 95% interval (Clopper-Pearson) lies below `low` or above `high`;
- *not enough requests*: not broken, but the run is too short to show a break. It needs 100 requests, and so many that
  one of them is expected beyond the limit: 1,000 for a limit of 0.999;
- *holds*: everything else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from scipy.special import betaincinv

CONFIDENCE = 0.95
FEWEST = 100


class Judgement(StrEnum):
    """What a run says about one limit."""

    HOLDS = "holds"
    BROKEN = "broken"
    TOO_FEW = "not enough requests"
    INCONCLUSIVE = "inconclusive"

    @classmethod
    def of_all(cls, found: Iterable[Judgement]) -> Judgement:
        """Of a whole run: the gravest of its judgements."""
        judgements = set(found)
        gravest = (cls.BROKEN, cls.INCONCLUSIVE, cls.TOO_FEW)
        return next((one for one in gravest if one in judgements), cls.HOLDS)


@dataclass(frozen=True)
class Share:
    """`hits` of `total` requests."""

    hits: int
    total: int

    @property
    def value(self) -> float:
        """NaN where there was no request."""
        return self.hits / self.total if self.total else math.nan

    def interval(self) -> tuple[float, float]:
        """The Clopper-Pearson interval: both ends at `CONFIDENCE`, (0, 1) where there was no request."""
        tail, misses = (1 - CONFIDENCE) / 2, self.total - self.hits
        low = float(betaincinv(self.hits, misses + 1, tail)) if self.hits else 0.0
        high = float(betaincinv(self.hits + 1, misses, 1 - tail)) if misses else 1.0
        return low, high

    def judge(self, low: float = 0.0, high: float = 1.0) -> Judgement:
        """See the module's docstring."""
        least, most = self.interval()
        if most < low or least > high:
            return Judgement.BROKEN
        return Judgement.HOLDS if self.total >= fewest(low, high) else Judgement.TOO_FEW


def fewest(low: float, high: float) -> int:
    """How many requests can show that these limits are broken."""
    allowed = [share for share in (1 - low, high) if 0 < share < 1]
    return max(FEWEST, *(math.ceil(1 / share - 1e-6) for share in allowed)) if allowed else FEWEST
