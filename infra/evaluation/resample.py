"""Bootstrap intervals over groups of rows: a request is drawn with all of its impressions, because they are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.evaluation.figures import Figure

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
ROUNDS = 200


@dataclass(frozen=True)
class Resample:
    """Draws `count` requests again, each with all of its impressions; `group` int64[n] is the request of each.

    A whole day is drawn at once, also where only some of its impressions are measured (`among`)."""

    count: int
    group: npt.NDArray[np.intp]

    @classmethod
    def of(cls, requests: npt.NDArray[np.int64]) -> Resample:
        found, group = np.unique(requests, return_inverse=True)
        return cls(len(found), group)

    def among(self, rows: Bools) -> Resample:
        """For the impressions `rows` bool[n] only."""
        return Resample(self.count, self.group[rows])

    def weights(self, rounds: int) -> Iterator[Array]:
        """float64[n], `rounds` times: how often each impression was drawn."""
        rng = np.random.default_rng(0)
        for _ in range(rounds):
            drawn = np.bincount(rng.integers(0, self.count, self.count), minlength=self.count)
            yield drawn[self.group].astype(np.float64)

    def spread(self, above: Array, below: Array) -> tuple[float, float]:
        """95% interval of the ratio of two sums over impressions."""
        return self.interval(lambda weight: float(weight @ above) / float(weight @ below))

    def interval(self, statistic: Callable[[Array], float]) -> tuple[float, float]:
        """95% interval of `statistic(weight)`, `weight` float64[n]."""
        low, high = np.quantile([statistic(weight) for weight in self.weights(ROUNDS)], [0.025, 0.975])
        return float(low), float(high)

    def figure(self, id: str, text: str, statistic: Callable[[Array], float], must: str | None = None) -> Figure:
        value = statistic(np.ones(len(self.group)))
        return Figure(id, text, value, *self.interval(statistic), "", must)

    def ratio(
        self, id: str, text: str, above: Array, below: Array, must: str | None = None, aim: str | None = None
    ) -> Figure:
        return Figure(id, text, float(above.sum() / below.sum()), *self.spread(above, below), "", must, aim)
