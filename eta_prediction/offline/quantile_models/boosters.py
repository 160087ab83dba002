"""LightGBM quantile models: one booster for each of P10, P50 and P90 of actual over corrected time."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np

from eta_prediction.domain import Array
from eta_prediction.model.corrected_route import LEVELS
from eta_prediction.model.inputs import Floats

LEAST_IN_LEAF, MOST_LEAVES_ROWS = 20, 2_000


@dataclass(frozen=True)
class BoosterPlan:
    rounds: int
    leaves: int
    seed: int
    learning_rate: float = 0.15


def fit_boosters(x: Floats, ratio: Array, plan: BoosterPlan) -> list[lgb.Booster]:
    """One booster for each level, from `x` float32[n, inputs] and actual over corrected time float64[n].

    Every trip counts the same. Weights by the trip's length make the loss one of seconds, but they double the time and
    do not lower the loss in seconds on later days. The boosters are fitted side by side with one thread each, because
    the threads of one booster wait for each other after every split.
    """
    parameters: dict[str, Any] = {
        "objective": "quantile",
        "learning_rate": plan.learning_rate,
        "num_leaves": plan.leaves,
        "min_data_in_leaf": max(LEAST_IN_LEAF, len(ratio) // MOST_LEAVES_ROWS),
        "feature_fraction": 0.7,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": 1.0,
        "max_bin": 63,
        "seed": plan.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }

    def fitted(level: float) -> lgb.Booster:
        return lgb.train(parameters | {"alpha": level}, lgb.Dataset(x, ratio), plan.rounds)

    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(LEVELS))) as pool:
        return list(pool.map(fitted, LEVELS))


def predict_boosters(boosters: list[lgb.Booster], x: Floats) -> Floats:
    """float32[n, 3]"""
    found = [np.asarray(booster.predict(x, num_threads=1)) for booster in boosters]
    return np.stack(found, axis=1).astype(np.float32)
