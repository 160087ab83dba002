"""Errors on the tested trips, beside LightGBM without the route and the corrected route, with intervals over days."""

from __future__ import annotations

import numpy as np

from eta_prediction.domain import Array, Ints
from eta_prediction.offline.trip_files.trip_models.boosters import LEVELS
from eta_prediction.offline.trip_files.trip_models.learn import Learned
from eta_prediction.offline.trip_files.trips import Trips
from infra.build.real_files import Table
from infra.columns import DAY_S, HOUR_S
from infra.evaluation.figures import Figure
from infra.evaluation.resample import ROUNDS, Resample, interval_of

FEWEST_DAYS = 8
"""with fewer tested days, hours are resampled"""
TEXTS = {"model": "route and model", "plain": "LightGBM without the route", "route": "corrected route"}
ROWS = (
    ("mae", "mean absolute error", 1.0, " s"),
    ("mae_over", "error of route and model / this one's", 1.0, ""),
    ("median_error", "median absolute error", 1.0, " s"),
    ("pinball", "pinball loss of P10, P50, P90", 1.0, " s"),
    ("coverage", "trips within P10 to P90 (80% is right)", 100.0, "%"),
    ("bias", "mean error", 1.0, " s"),
)
"""beginning of the figures' ids, text, factor and unit of the rows of the table"""


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
    quantiles = {"model": learned.model, "plain": learned.plain, "route": learned.route}
    errors = {name: np.abs(found[:, 1] - truth) for name, found in quantiles.items()}
    figures = [_mean(f"mae_{name}", f"mean absolute error, {TEXTS[name]}", errors[name], weights) for name in errors]
    for name in ("plain", "route"):
        text = f"mean absolute error over that of the {TEXTS[name]}".replace("the LightGBM", "LightGBM")
        if (weights @ errors[name] > 0).all():  # trips that all take the same time can leave no error to divide by
            figures.append(resample.ratio(f"mae_over_{name}", text, errors["model"], errors[name]))
    for name, values in errors.items():
        low, high = interval_of([_median(values, weight) for weight in weights])
        text = f"median absolute error, {TEXTS[name]}"
        figures.append(Figure(f"median_error_{name}", text, float(np.median(values)), low, high, "s"))
    for name, found in quantiles.items():
        text = f"mean pinball loss of P10, P50, P90, {TEXTS[name]}"
        figures.append(_mean(f"pinball_{name}", text, pinball(truth, found), weights))
    for name, found in quantiles.items():
        inside = ((truth >= found[:, 0]) & (truth <= found[:, 2])).astype(float)
        text = f"share of trips within P10 to P90, {TEXTS[name]}"
        figures.append(_mean(f"coverage_{name}", text, inside, weights, ""))
    for name, found in quantiles.items():
        figures.append(_mean(f"bias_{name}", f"mean error, {TEXTS[name]}", found[:, 1] - truth, weights))
    return figures


def pinball(truth: Array, quantiles: Array) -> Array:
    """float64[n]: the mean pinball loss of the three quantiles float64[n, 3], in seconds."""
    over = truth[:, None] - quantiles
    levels = np.array(LEVELS)
    found: Array = np.maximum(levels * over, (levels - 1) * over).mean(axis=1)
    return found


def table_of(figures: list[Figure]) -> Table:
    """All figures: a column per model, with the 95% intervals in brackets."""
    by_id = {figure.id: figure for figure in figures}
    rows = [
        (text, *(_cell(by_id.get(f"{start}_{name}"), scale, unit) for name in TEXTS))
        for start, text, scale, unit in ROWS
    ]
    return Table(("95% interval in brackets", *TEXTS.values()), tuple(rows))


def _cell(figure: Figure | None, scale: float, unit: str) -> str:
    if figure is None:
        return ""
    numbers = [scale * number for number in (figure.value, figure.low, figure.high)]
    digits = 3 - len(f"{max(map(abs, numbers)):.0f}") if max(map(abs, numbers)) >= 2 else 3
    value, low, high = (f"{number:,.{max(digits, 0)}f}" for number in numbers)
    return f"{value}{unit} ({low} to {high})"


def _mean(id: str, text: str, values: Array, weights: Array, unit: str = "s") -> Figure:
    low, high = interval_of(weights @ values / weights.sum(axis=1))
    return Figure(id, text, float(values.mean()), low, high, unit)


def _median(values: Array, weight: Array) -> float:
    order = np.argsort(values)
    running = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(running, running[-1] / 2)]])
