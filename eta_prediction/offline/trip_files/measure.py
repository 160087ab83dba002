"""Errors on the tested trips, beside LightGBM without the route and the corrected route, with intervals over days."""

from __future__ import annotations

import numpy as np

from eta_prediction.domain import Array, Ints
from eta_prediction.offline.trip_files.boosters import LEVELS
from eta_prediction.offline.trip_files.learn import Learned
from eta_prediction.offline.trip_files.trips import Trips
from infra.columns import DAY_S, HOUR_S
from infra.evaluation.figures import Figure
from infra.evaluation.resample import ROUNDS, Resample, interval_of

FEWEST_DAYS = 8
"""with fewer tested days, hours are resampled"""
TEXTS = {"model": "route and model", "plain": "LightGBM without the route", "route": "corrected route"}


def blocks_of(trips: Trips) -> tuple[Ints, str]:
    """(block of each trip, what a block is). Trips of one day share its traffic and are drawn together."""
    days = np.floor(trips.clock_s / DAY_S).astype(np.int64)
    if len(np.unique(days)) >= FEWEST_DAYS:
        return days, "days"
    return np.floor(trips.clock_s / HOUR_S).astype(np.int64), "hours"


def figures_of(trips: Trips, learned: Learned) -> list[Figure]:
    """Figures with 95% intervals. Gains compare the same trips."""
    resample, truth = Resample.of(blocks_of(trips)[0]), trips.seconds
    weights = np.stack(list(resample.weights(ROUNDS)))
    middles = {"model": learned.model[:, 1], "plain": learned.plain[:, 1], "route": learned.route}
    errors = {name: np.abs(values - truth) for name, values in middles.items()}
    figures = [_mean(f"mae_{name}", f"mean absolute error, {TEXTS[name]}", errors[name], weights) for name in errors]
    for name in ("plain", "route"):
        text = f"mean absolute error over that of the {TEXTS[name]}".replace("the LightGBM", "LightGBM")
        figures.append(resample.ratio(f"mae_over_{name}", text, errors["model"], errors[name]))
    for name, values in errors.items():
        low, high = interval_of([_median(values, weight) for weight in weights])
        text = f"median absolute error, {TEXTS[name]}"
        figures.append(Figure(f"median_error_{name}", text, float(np.median(values)), low, high, "s"))
    for name, quantiles in (("model", learned.model), ("plain", learned.plain)):
        loss = pinball(truth, quantiles)
        figures.append(_mean(f"pinball_{name}", f"mean pinball loss of P10, P50, P90, {TEXTS[name]}", loss, weights))
    for name, quantiles in (("model", learned.model), ("plain", learned.plain)):
        inside = ((truth >= quantiles[:, 0]) & (truth <= quantiles[:, 2])).astype(float)
        figures.append(
            _mean(f"coverage_{name}", f"share of trips within P10 to P90, {TEXTS[name]}", inside, weights, "")
        )
    bias = learned.model[:, 1] - truth
    return [*figures, _mean("bias_model", "mean error, route and model", bias, weights)]


def pinball(truth: Array, quantiles: Array) -> Array:
    """float64[n]: the mean pinball loss of the three quantiles float64[n, 3], in seconds."""
    over = truth[:, None] - quantiles
    levels = np.array(LEVELS)
    found: Array = np.maximum(levels * over, (levels - 1) * over).mean(axis=1)
    return found


def table_of(figures: list[Figure]) -> str:
    """The figures as a table in Markdown."""
    rows = [
        f"| {figure.description} | {figure.value:.4g} {figure.unit} | {figure.low:.4g} to {figure.high:.4g} |"
        for figure in figures
    ]
    return "\n".join(["| figure | value | 95% interval |", "|---|---|---|", *rows, ""])


def _mean(id: str, text: str, values: Array, weights: Array, unit: str = "s") -> Figure:
    low, high = interval_of(weights @ values / weights.sum(axis=1))
    return Figure(id, text, float(values.mean()), low, high, unit)


def _median(values: Array, weight: Array) -> float:
    order = np.argsort(values)
    running = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(running, running[-1] / 2)]])
