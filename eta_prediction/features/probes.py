"""Traversals as probes of the traffic: the log ratio of each one, and their sums by group and traffic step.

The log ratio of a traversal is log(seconds / free-flow seconds of its edge).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import GROUPS, Array, Ints, RoadGraph
from eta_prediction.events.history import TraversalRows

STEP_S = 300.0
"""one traffic step"""


@dataclass(frozen=True)
class Cells:
    """Sums over the traversals that entered an edge of a group in a step.

    `count` and `total` (of log ratios) float64[steps, groups]; `middle_ts` float64[steps] is the middle of each step.
    """

    middle_ts: Array
    count: Array
    total: Array

    @property
    def mean(self) -> Array:
        """float64[steps, groups], 0 for a cell without traversals."""
        return self.total / np.maximum(self.count, 1.0)


@dataclass(frozen=True)
class EdgeSums:
    """Deviations of traversals from the mean of their cell, by edge: `count`, `total` and `square` float64[edges].

    Traffic is the same for all traversals of a cell, so these deviations show what is special about an edge.
    """

    count: Array
    total: Array
    square: float

    def plus(self, other: EdgeSums) -> EdgeSums:
        return EdgeSums(self.count + other.count, self.total + other.total, self.square + other.square)


def log_ratios(graph: RoadGraph, edge: Ints, seconds: Array) -> Array:
    found: Array = np.log(seconds / graph.free_s[edge])
    return found


def cells_of(graph: RoadGraph, rows: TraversalRows, begin_ts: float, steps: int) -> tuple[Cells, EdgeSums]:
    """Sums of the traversals of `steps` steps from `begin_ts` on; those that enter an edge outside are left out."""
    ratio, step = log_ratios(graph, rows.edge, rows.seconds), step_of(rows.enter_ts, begin_ts)
    inside = (step >= 0) & (step < steps)
    ratio, step, edge = ratio[inside], step[inside], rows.edge[inside]
    cell = step * GROUPS + graph.group[edge]
    middle_ts: Array = begin_ts + (np.arange(steps, dtype=np.float64) + 0.5) * STEP_S
    count, total = _sums(cell, ratio, steps * GROUPS)
    cells = Cells(middle_ts, count.reshape(steps, GROUPS), total.reshape(steps, GROUPS))
    apart = ratio - cells.mean.ravel()[cell]
    return cells, EdgeSums(*_sums(edge, apart, graph.edges), float(apart @ apart))


def _sums(of: Ints, values: Array, size: int) -> tuple[Array, Array]:
    """(count, sum) float64[size] of the values that belong to each of `size` things."""
    return np.bincount(of, minlength=size).astype(np.float64), np.bincount(of, values, size).astype(np.float64)


def step_of(at_ts: Array, begin_ts: float) -> Ints:
    found: Ints = np.floor((at_ts - begin_ts) / STEP_S).astype(np.int64)
    return found
