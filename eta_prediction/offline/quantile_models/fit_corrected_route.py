"""Fits the corrected routes: weighted least absolute deviations, and quantiles of what remains."""

from __future__ import annotations

import numpy as np

from eta_prediction.domain import Array, Bools, Ints
from eta_prediction.model.corrected_route import LENGTHS_S, LEVELS, CorrectedRoute, full_columns, is_busy
from eta_prediction.model.inputs import Floats, column

PLAIN = 52
"""the first columns of a full correction, which need the seconds alone"""
ROUNDS, LEAST_S = 6, 20.0
MOST = 40_000
PRIOR = 200.0
"""trips of all lengths and hours that are added to those of a class of interval"""


def fit_corrected_route(x: Floats, route_s: Array, seconds: Array, seed: int) -> CorrectedRoute:
    """`x` float32[n, NAMES], `route_s` and the labels `seconds` float64[n]."""
    rows = np.arange(len(seconds))
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(seed).choice(len(rows), MOST, replace=False))
    columns, target = full_columns(x[rows], route_s[rows]), seconds[rows]
    full, plain = _least_absolute(columns, target), _least_absolute(columns[:, :PLAIN], target)
    ratio = target / np.maximum(columns @ full, 30.0)
    return CorrectedRoute(full, plain, _intervals(ratio, route_s[rows], is_busy(x[rows])))


def _least_absolute(columns: Array, target: Array) -> Array:
    """Iteratively reweighted least squares, with a small ridge for hours without trips."""
    weight, scale = np.ones(len(target)), columns.std(0) + 1e-9
    ridge = np.diag(1e-6 * len(target) * scale**2 + 1e-9)
    found: Array = np.zeros(columns.shape[1])
    for _ in range(ROUNDS):
        scaled = columns * weight[:, None]
        found = np.asarray(np.linalg.solve(columns.T @ scaled + ridge, scaled.T @ target), np.float64)
        weight = 1 / np.maximum(np.abs(target - columns @ found), LEAST_S)
        weight /= weight.mean()
    return found


def _intervals(ratio: Array, route_s: Array, busy: Bools) -> Array:
    """float64[2, lengths, 3]: quantiles of the ratio, shrunk to those of all trips where there are few."""
    everyone = np.quantile(ratio, LEVELS)
    found = np.empty((2, len(LENGTHS_S) + 1, len(LEVELS)))
    length: Ints = np.searchsorted(LENGTHS_S, route_s)
    for hour in (0, 1):
        for place in range(len(LENGTHS_S) + 1):
            some = ratio[(busy == bool(hour)) & (length == place)]
            own = np.quantile(some, LEVELS) if len(some) else everyone
            found[hour, place] = (len(some) * own + PRIOR * everyone) / (len(some) + PRIOR)
    return found


def route_times(x: Floats) -> dict[str, Array]:
    """The route's time by kind of traffic, float64[n]."""
    return {"live": column(x, "live_s"), "static": column(x, "profile_s")}
