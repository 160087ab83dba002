"""LightGBM quantile models: one booster for each of P10, P50 and P90 of actual over corrected time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np

from eta_prediction.domain import Array
from eta_prediction.model.corrected_route import LEVELS
from eta_prediction.model.inputs import Floats

ROWS_PER_THREAD = 60_000
"""LightGBM's threads wait for each other in busy loops: on fewer rows, two threads take more time than one"""


@dataclass(frozen=True)
class BoosterPlan:
    rounds: int
    leaves: int
    seed: int
    learning_rate: float = 0.1


def fit_boosters(x: Floats, ratio: Array, base_s: Array, plan: BoosterPlan) -> list[lgb.Booster]:
    """One booster for each level. Rows count with their base time, so that the loss is in seconds."""
    parameters: dict[str, Any] = {
        "objective": "quantile",
        "learning_rate": plan.learning_rate,
        "num_leaves": plan.leaves,
        "min_data_in_leaf": max(20, len(ratio) // 2_000),
        "feature_fraction": 0.7,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": 1.0,
        "max_bin": 63,
        "seed": plan.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1 if len(ratio) < ROWS_PER_THREAD else os.cpu_count() or 1,
        "verbosity": -1,
    }
    data = lgb.Dataset(x, ratio, weight=base_s / base_s.mean(), params=parameters, free_raw_data=False)
    return [lgb.train(parameters | {"alpha": level}, data, plan.rounds) for level in LEVELS]


def predict_boosters(boosters: list[lgb.Booster], x: Floats) -> Floats:
    """float32[n, 3]"""
    return np.stack([np.asarray(booster.predict(x)) for booster in boosters], axis=1).astype(np.float32)
