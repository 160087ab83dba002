"""Bootstrap intervals: cases are drawn again with replacement, and a figure is computed from every draw.

Rows that are alike are drawn together: a request is drawn with all of its impressions.
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
"""draws of a figure over many rows"""
CASE_ROUNDS = 1000
"""draws of a figure over some hundred cases"""


def draw_counts(n: int, rounds: int, seed: int = 0) -> Iterator[Array]:
    """float64[n], `rounds` times: how often each of n cases is drawn when n are drawn with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        drawn = rng.integers(0, n, n) if n else np.zeros(0, np.int64)
        yield np.bincount(drawn, minlength=n).astype(np.float64)


def count_matrix(n: int, rounds: int, seed: int = 0) -> Array:
    """float64[rounds, n]: the same counts as one matrix, for figures that are sums over cases."""
    return np.stack(list(draw_counts(n, rounds, seed)))


def interval_of(values: Sequence[float] | Array) -> tuple[float, float]:
    """The middle 95% of a figure's values over all draws. Draws without a finite value are left out; (0, 0) if no draw
    has one."""
    found = np.asarray(values, np.float64)
    finite = found[np.isfinite(found)]
    return (float(np.quantile(finite, 0.025)), float(np.quantile(finite, 0.975))) if len(finite) else (0.0, 0.0)


@dataclass(frozen=True)
class Resample:
    """Draws `count` groups of rows again; `group` int64[n] is the group of each row.

    All groups are drawn at once, also where only some of their rows are measured (`among`).
    """

    count: int
    group: Rows

    @classmethod
    def of(cls, groups: npt.NDArray[np.int64]) -> Resample:
        """`groups` int64[n] names the group of each row, such as a request or a slate."""
        found, group = np.unique(groups, return_inverse=True)
        return cls(len(found), group)

    def among(self, rows: Bools) -> Resample:
        """For the rows `rows` bool[n] only."""
        return Resample(self.count, self.group[rows])

    def weights(self, rounds: int = ROUNDS, seed: int = 0) -> Iterator[Array]:
        """float64[n], `rounds` times: how often each row was drawn."""
        for counts in draw_counts(self.count, rounds, seed):
            yield counts[self.group]

    def rows(self, rounds: int = ROUNDS, seed: int = 0) -> Iterator[Rows]:
        """The rows that were drawn, `rounds` times, in order; a row that was drawn twice comes twice."""
        everyone = np.arange(len(self.group))
        for weight in self.weights(rounds, seed):
            yield np.repeat(everyone, weight.astype(np.int64))

    def spread(self, above: Array, below: Array) -> tuple[float, float]:
        """95% interval of the ratio of two sums over rows."""
        return self.interval(lambda weight: float(weight @ above) / float(weight @ below))

    def interval(self, statistic: Callable[[Array], float]) -> tuple[float, float]:
        """95% interval of `statistic(weight)`, `weight` float64[n]."""
        return interval_of([statistic(weight) for weight in self.weights()])

    def row_interval(
        self, statistic: Callable[[Rows], float], rounds: int = ROUNDS, seed: int = 0
    ) -> tuple[float, float]:
        """95% interval of `statistic(rows)`, for a figure that takes no weights, such as a rank correlation."""
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
