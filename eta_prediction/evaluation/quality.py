"""Figures of held-out trips against the oracle: error removed, coverage, and pinball loss.

The oracle's error is that of the median of the true law. The base is the best corrected route: live or usual traffic,
whichever was better on the training days for a length of trip, with its bias by hour, type and mix of roads removed. A
model that only removes a constant thus removes nothing. All errors are expected ones under the true law, not those of
the single time that happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import Array, Bools
from eta_prediction.evaluation.accuracy import absolute_of_law, coverage_of_law, pinball_of_law, slices
from eta_prediction.model.artifact import CORRECTED, FAMILIES, Bundle
from eta_prediction.model.corrected_route import LEVELS
from eta_prediction.model.inputs import column
from eta_prediction.offline.samples import Sample
from infra.evaluation.figures import Figure
from infra.evaluation.resample import Resample

LONG_MIN = (10.0, 20.0, 30.0)
"""minutes of usual time that separate the lengths for which the better base is chosen"""


@dataclass(frozen=True)
class Judged:
    """Predictions for the trips of `sample`: `quantiles` by name of model float64[n, 3] seconds, and `law` float64[n,
    draws]."""

    sample: Sample
    quantiles: Mapping[str, Array]
    base_s: Array
    law: Array

    @property
    def oracle(self) -> Array:
        return np.quantile(self.law, LEVELS, axis=1).T


def judge(bundle: Bundle, sample: Sample, law: Array, train: Sample) -> Judged:
    """`train` decides which corrected route is the base of each length of trip."""
    found = {family: bundle.quantiles(f"{family}_live", sample.x) for family in FAMILIES}
    found["static"] = bundle.quantiles(f"{bundle.best}_static", sample.x)
    found[CORRECTED] = bundle.historical("live", sample.x)
    return Judged(sample, found, best_base_s(bundle, sample, train), law)


def best_base_s(bundle: Bundle, sample: Sample, train: Sample) -> Array:
    """float64[n]: the better corrected route for each length of trip."""
    (live, usual), (live_here, usual_here) = (
        (bundle.base_s("live", part.x), bundle.base_s("static", part.x)) for part in (train, sample)
    )
    length, here = (np.searchsorted(LONG_MIN, column(part.x, "profile_s") / 60) for part in (train, sample))
    base = live_here.copy()
    for number in range(len(LONG_MIN) + 1):
        some = length == number
        lost = [np.abs(found - train.seconds)[some].mean() if some.any() else 0.0 for found in (live, usual)]
        if lost[1] < lost[0]:
            base[here == number] = usual_here[here == number]
    return base


def quality_figures(judged: Judged, best: str) -> list[Figure]:
    """The figures of `lab evaluate`. Intervals resample days."""
    sample, law, found = judged.sample, judged.law, judged.quantiles[best]
    days = Resample.of(sample.day)
    oracle = judged.oracle
    base, model, least = (absolute_of_law(law, predicted) for predicted in (judged.base_s, found[:, 1], oracle[:, 1]))
    ones = np.ones(len(sample))
    minutes = 60 * ones
    figures = [
        days.ratio(
            "reducible_error_removed",
            "(error of the best corrected route - error of the model) / (error of the route - error of the oracle)",
            base - model,
            base - least,
            ">= 0.75",
            ">= 0.85",
        ),
        days.ratio("mae_min", "mean absolute error of the median, in minutes", model, minutes),
        days.ratio("mae_base_min", "the same of the best corrected route", base, minutes),
        days.ratio("mae_oracle_min", "the same of the true law's median", least, minutes),
        days.ratio(
            "pinball_over_oracle",
            "pinball loss of P10, P50 and P90 / that of the true law's quantiles",
            pinball_of_law(law, found),
            pinball_of_law(law, oracle),
            "<= 1.1",
            "<= 1.05",
        ),
        _coverage(judged, found, "coverage", "all trips", np.ones(len(sample), bool), 0.02, 0.01),
    ]
    parts = slices(sample)
    for name in ("rush", "night", "rain"):
        if parts[name].any():
            figures.append(_coverage(judged, found, f"coverage_{name}", name, parts[name], 0.04, 0.02))
    others = {"boosters": "the boosters", "network": "the network", "static": "the model without live traffic"}
    for name, text in others.items():
        lost = absolute_of_law(law, judged.quantiles[name][:, 1])
        figures.append(days.ratio(f"mae_{name}_min", f"mean absolute error of {text}, in minutes", lost, minutes))
    for name, rows in parts.items():
        if rows.any():
            bias = (found[:, 1] - np.median(law, axis=1))[rows] / 60
            text = f"predicted minus true median on {name} trips"
            low, high = _spread(days.among(rows), bias)
            figures.append(Figure(f"bias_{name}_min", text, float(bias.mean()), low, high, "min"))
    return figures


def _coverage(judged: Judged, found: Array, id: str, name: str, rows: Bools, must: float, aim: float) -> Figure:
    """The true coverage of P10 to P90. A coverage above 80% is bound from above, one below it from below."""
    inside = coverage_of_law(judged.law[rows], found[rows])
    value = float(inside.mean())
    low, high = _spread(Resample.of(judged.sample.day).among(rows), inside)
    bounds = [f"<= {0.8 + part:.2f}" if value > 0.8 else f">= {0.8 - part:.2f}" for part in (must, aim)]
    text = f"true coverage of P10 to P90, {name}; 80% is asked"
    return Figure(id, text, value, low, high, "", *bounds)


def _spread(resample: Resample, values: Array) -> tuple[float, float]:
    """95% interval of the mean over rows. A draw of days without such rows has none and is left out."""

    def mean(weight: Array) -> float:
        return float(weight @ values / weight.sum()) if weight.any() else float("nan")

    return resample.interval(mean)
