"""The boosters that predict trip times: which columns, which target and which loss each has, and their fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from eta_prediction.domain import Array

Floats = npt.NDArray[np.float32]
LEVELS = (0.1, 0.5, 0.9)
MOST_ROUNDS, PATIENCE = 400, 30
LONGEST_LOG_S = 11.0
THREADS, ONE_THREAD_ROWS = 2, 60_000
"""up to so many rows, one thread fits: threads that wait for each other lose more than they gain on a busy machine"""
COMMON = {
    "verbose": -1,
    "deterministic": True,
    "force_row_wise": True,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 1.0,
}


@dataclass(frozen=True)
class Target:
    """What a booster predicts: `to` maps (seconds, corrected route) to it, `back` maps (it, corrected route) back."""

    to: Callable[[Array, Array], Array]
    back: Callable[[Array, Array], Array]


SECONDS = Target(lambda y, base: y, lambda z, base: z)
LOG = Target(lambda y, base: np.log(y), lambda z, base: np.exp(np.minimum(z, LONGEST_LOG_S)))
EXCESS = Target(lambda y, base: y - base, lambda z, base: base + z)
RATIO = Target(lambda y, base: np.log(y / base), lambda z, base: base * np.exp(np.clip(z, -3, 3)))


@dataclass(frozen=True)
class Kind:
    """A booster: its columns (with the route or without), its target, its loss and its size."""

    name: str
    has_route: bool
    target: Target
    leaves: int
    loss: dict[str, str | float] = field(hash=False)
    rate: float = 0.1


PLAIN = Kind("plain", False, SECONDS, 127, {"objective": "l1"})
"""the baseline: LightGBM on the columns of the file, with the loss that is measured"""
ROUTE_RATIO = Kind("route, log ratio", True, RATIO, 63, {"objective": "l2"})
MEMBERS = (
    PLAIN,
    Kind("plain, log", False, LOG, 63, {"objective": "l2"}),
    ROUTE_RATIO,
    Kind("route, seconds", True, EXCESS, 63, {"objective": "l1"}),
)
"""the blend. Means of logs and medians of seconds err in different ways, and so do boosters without the route"""
EDGES = tuple(
    Kind(f"route, P{100 * alpha:.0f}", True, RATIO, 31, {"objective": "quantile", "alpha": alpha}, 0.2)
    for alpha in (LEVELS[0], LEVELS[2])
)
"""the ends of the interval"""


@dataclass(frozen=True)
class Table:
    """Some trips as inputs: the columns with and without the route, and their corrected route float64[n]."""

    plain: Floats
    route: Floats
    base_s: Array

    def x(self, kind: Kind) -> Floats:
        return self.route if kind.has_route else self.plain


def fit(
    kind: Kind,
    train: Table,
    seconds: Array,
    seed: int,
    *,
    rounds: int | None = None,
    late: tuple[Table, Array] | None = None,
) -> lgb.Booster:
    """Fit for `rounds`, or for as many as are good on the trips of `late` (inputs, seconds)."""
    params = {**COMMON, **kind.loss, "num_leaves": kind.leaves, "learning_rate": kind.rate, "seed": seed}
    params["num_threads"] = 1 if len(seconds) <= ONE_THREAD_ROWS else THREADS
    data = lgb.Dataset(train.x(kind), kind.target.to(seconds, train.base_s))
    if late is None:
        return lgb.train(params, data, rounds or MOST_ROUNDS)
    table, truth = late
    watched = lgb.Dataset(table.x(kind), kind.target.to(truth, table.base_s), reference=data)
    stop = lgb.early_stopping(PATIENCE, verbose=False)
    return lgb.train(params, data, rounds or MOST_ROUNDS, valid_sets=[watched], callbacks=[stop])


def predict(kind: Kind, booster: lgb.Booster, table: Table) -> Array:
    """float64[n]: seconds."""
    found = np.asarray(booster.predict(table.x(kind), num_threads=1), np.float64)
    return np.maximum(kind.target.back(found, table.base_s), 1.0)
