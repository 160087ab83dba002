"""Fits the speed forecast: one ridge regression per horizon, on the training days."""

from __future__ import annotations

import numpy as np

from eta_prediction.domain import Array, RoadGraph
from eta_prediction.features.forecast import (
    GROUP_INPUTS,
    HORIZONS_MIN,
    INPUTS,
    SpeedForecast,
    forecast_inputs,
    make_kernels,
    spread_ahead,
)
from eta_prediction.features.probes import STEP_S
from eta_prediction.features.profile import Profile

RIDGE = 1.0
"""penalty, in observations"""
OWN_VARIANCE = 0.3
"""variance of u that no input explains; cells with much larger noise of their probes count less"""


def fit_forecast(
    graph: RoadGraph, profile: Profile, sums: Array, slot: Array, count: Array, residual: Array, smoothing: str
) -> SpeedForecast:
    """`sums` float64[steps, PARTS, groups] as of the beginning of each step, whose time of the week is `slot`
    float64[steps]. `count` and `residual` float64[steps, groups] are the traversals of each step and their mean
    residual, which the forecasts aim at."""
    kernels = make_kernels(graph)
    inputs = forecast_inputs(kernels, profile.probe_sd, sums)
    used = len(INPUTS) if smoothing == "neighbour" else GROUP_INPUTS
    spread = spread_ahead(profile, slot)
    weights = np.zeros((len(HORIZONS_MIN), len(INPUTS)))
    for number, minutes in enumerate(HORIZONS_MIN):
        ahead = int(minutes * 60 / STEP_S) - 1
        last = len(sums) - ahead
        s = spread[:last, number][:, None]
        n = count[ahead:]
        weight = np.where(n > 0, s**2 / (OWN_VARIANCE + profile.probe_sd**2 / (np.maximum(n, 1) * s**2)), 0.0).ravel()
        x = inputs[:last].reshape(-1, len(INPUTS))[:, :used]
        y = (residual[ahead:] / s).ravel()
        below = (x * weight[:, None]).T @ x + RIDGE * weight.mean() * np.eye(used)
        weights[number, :used] = np.linalg.solve(below, x.T @ (weight * y))
    return SpeedForecast(weights, kernels)
