"""Bootstrap intervals: draws cases with replacement and computes a figure from every draw.

Correlated rows are drawn together: a request is drawn with all of its impressions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infra.evaluation.figures import Figure

Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.intp]
ROUNDS = 200
"""number of draws for figures over many rows"""
CASE_ROUNDS = 1000
"""number of draws for figures over a few hundred cases"""


def draw_counts(n: int, rounds: int, seed: int = 0) -> Iterator[Array]:
    """Yield `rounds` arrays float64[n]: the number of times each case occurs in n draws with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        drawn = rng.integers(0, n, n) if n else np.zeros(0, np.int64)
        yield np.bincount(drawn, minlength=n).astype(np.float64)


def count_matrix(n: int, rounds: int, seed: int = 0) -> Array:
    """Return the arrays of `draw_counts` as a matrix float64[rounds, n], for figures that are sums over cases."""
    return np.stack(list(draw_counts(n, rounds, seed)))


def interval_of(values: Sequence[float] | Array) -> tuple[float, float]:
    """Return the central 95% of a figure's values over all draws. Non-finite values are ignored; (0, 0) if no value is
    finite."""
    found = np.asarray(values, np.float64)
    finite = found[np.isfinite(found)]
    return (float(np.quantile(finite, 0.025)), float(np.quantile(finite, 0.975))) if len(finite) else (0.0, 0.0)


@dataclass(frozen=True)
class Resample:
    """Resamples `count` groups of rows; `group` int64[n] is the group index of each row.

    Each draw covers all groups, also if only a subset of the rows is measured (`among`).
    """

    count: int
    group: Rows

    @classmethod
    def of(cls, groups: npt.NDArray[np.int64]) -> Resample:
        """Create a resample from `groups` int64[n], the id of each row's group, such as a request or a slate."""
        found, group = np.unique(groups, return_inverse=True)
        return cls(len(found), group)

    def among(self, rows: Bools) -> Resample:
        """Restrict the resample to the rows in the mask `rows` bool[n]."""
        return Resample(self.count, self.group[rows])

    def weights(self, rounds: int = ROUNDS, seed: int = 0) -> Iterator[Array]:
        """Yield `rounds` arrays float64[n]: the number of times each row was drawn."""
        for counts in draw_counts(self.count, rounds, seed):
            yield counts[self.group]

    def rows(self, rounds: int = ROUNDS, seed: int = 0) -> Iterator[Rows]:
        """Yield `rounds` arrays of drawn row indices, in ascending order. A row that was drawn twice occurs twice."""
        everyone = np.arange(len(self.group))
        for weight in self.weights(rounds, seed):
            yield np.repeat(everyone, weight.astype(np.int64))

    def spread(self, above: Array, below: Array) -> tuple[float, float]:
        """95% interval of the ratio of two sums over rows."""
        over, under = (np.bincount(self.group, rows, self.count) for rows in (above, below))
        draws = draw_counts(self.count, ROUNDS)
        return interval_of([float((counts * over).sum() / (counts * under).sum()) for counts in draws])

    def interval(self, statistic: Callable[[Array], float]) -> tuple[float, float]:
        """95% interval of `statistic(weight)`, `weight` float64[n]."""
        return interval_of([statistic(weight) for weight in self.weights()])

    def row_interval(
        self, statistic: Callable[[Rows], float], rounds: int = ROUNDS, seed: int = 0
    ) -> tuple[float, float]:
        """95% interval of `statistic(rows)`, for a figure without a weighted form, such as a rank correlation."""
        return interval_of([statistic(rows) for rows in self.rows(rounds, seed)])

    def figure(self, id: str, text: str, statistic: Callable[[Array], float], must: str | None = None) -> Figure:
        """The figure `statistic(weight)` with its interval."""
        value = statistic(np.ones(len(self.group)))
        return Figure(id, text, value, *self.interval(statistic), "", must)

    def row_figure(
        self,
        id: str,
        text: str,
        statistic: Callable[[Rows], float],
        must: str | None = None,
        aim: str | None = None,
        rounds: int = ROUNDS,
    ) -> Figure:
        """The figure `statistic(rows)` with its interval."""
        value = statistic(np.arange(len(self.group)))
        return Figure(id, text, value, *self.row_interval(statistic, rounds), "", must, aim)

    def ratio(
        self, id: str, text: str, above: Array, below: Array, must: str | None = None, aim: str | None = None
    ) -> Figure:
        """The ratio of two sums over rows with its interval."""
        return Figure(id, text, float(above.sum() / below.sum()), *self.spread(above, below), "", must, aim)
