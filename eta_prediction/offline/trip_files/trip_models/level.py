"""The level of the traffic: how much slower the latest days were than the model says, in logs.

A model of hours and places learns the mean of all training days. If the level drifts over weeks, the latest days say
more about the test part. The half-life is chosen by a backtest on the training days; if no half-life beats a level of
zero, there is none.
"""

from __future__ import annotations

import numpy as np

from eta_prediction.domain import Array
from infra.columns import DAY_S

HALF_LIVES_DAYS = (2.0, 5.0, 10.0, 20.0, 40.0)
DAMPINGS = (0.5, 1.0)
FEWEST_DAYS = 10
AHEAD = 4
"""the level is forecast for one day in this many training days, which is the length of the test part"""
GAIN = 0.95
"""a half-life must lower the mean squared error to this share"""
FEWEST_TRIPS = 30
"""per day"""


def level_of(at_s: Array, rest: Array) -> tuple[float, float | None]:
    """(level in logs after the last day, its half-life in days or None).

    `rest` float64[n] is the log of seconds over the prediction of each training trip.
    """
    days = daily(at_s, rest)
    if len(days) < FEWEST_DAYS:
        return 0.0, None
    errors = {(0.0, 0.0): _backtest(days, 0.0, 0.0)}
    errors |= {(half, damp): _backtest(days, half, damp) for half in HALF_LIVES_DAYS for damp in DAMPINGS}
    half, damp = min(errors, key=lambda tried: errors[tried])
    if not half or errors[half, damp] > GAIN * errors[0.0, 0.0]:
        return 0.0, None
    return damp * _smoothed(days, half), half


def daily(at_s: Array, rest: Array) -> Array:
    """float64[days]: the median of each day with enough trips, in order."""
    number = np.floor(at_s / DAY_S).astype(np.int64)
    order = np.argsort(number, kind="stable")
    parts = np.split(rest[order], np.flatnonzero(np.diff(number[order])) + 1)
    return np.array([float(np.median(part)) for part in parts if len(part) >= FEWEST_TRIPS])


def _backtest(days: Array, half: float, damp: float) -> float:
    """Mean squared error of the level of the following days, from each day after the first third.

    The days before an origin count around their own mean, as the residuals of a model that was fitted to them.
    """
    ahead = max(len(days) // AHEAD, 1)
    errors = []
    for origin in range(max(len(days) // 3, 4), len(days) - 1):
        past = days[:origin]
        forecast = past.mean() + (damp * _smoothed(past - past.mean(), half) if half else 0.0)
        errors.append(np.mean((days[origin : origin + ahead] - forecast) ** 2))
    return float(np.mean(errors))


def _smoothed(days: Array, half: float) -> float:
    weight = 0.5 ** (np.arange(len(days))[::-1] / half)
    return float(weight @ days / weight.sum())
