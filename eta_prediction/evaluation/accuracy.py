"""Errors of predicted times: absolute error, bias, pinball loss and coverage, as rows that figures average."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from eta_prediction.domain import Array, Bools
from eta_prediction.model.corrected_route import LEVELS
from eta_prediction.model.inputs import column
from eta_prediction.offline.samples import Sample


def pinball_of_law(law: Array, quantiles: Array) -> Array:
    """float64[n]: the expected pinball loss under laws given by draws float64[n, draws]."""
    found = np.zeros(len(law))
    for number, level in enumerate(LEVELS):
        error = law - quantiles[:, number : number + 1]
        found += np.maximum(level * error, (level - 1) * error).mean(1)
    return found / len(LEVELS)


def absolute_of_law(law: Array, predicted: Array) -> Array:
    """float64[n]: the expected absolute error under the laws."""
    found: Array = np.abs(law - predicted[:, None]).mean(1)
    return found


def coverage_of_law(law: Array, quantiles: Array) -> Array:
    """float64[n]: F(P90) - F(P10) under the true law."""
    inside = (law > quantiles[:, :1]) & (law <= quantiles[:, 2:])
    found: Array = inside.mean(1)
    return found


def slices(sample: Sample) -> Mapping[str, Bools]:
    """Parts of a sample that a service must serve well, not only the average trip."""
    x, traffic = sample.x, column(sample.x, "traffic")
    profile_s = column(x, "profile_s")
    return {
        "rush": traffic > np.quantile(traffic, 0.8),
        "night": traffic < np.quantile(traffic, 0.2),
        "rain": column(x, "rain") > 0,
        "pooled": sample.ride_type == 1,
        "airport": sample.ride_type == 2,
        "short": profile_s < np.quantile(profile_s, 0.25),
        "long": profile_s > np.quantile(profile_s, 0.75),
    }
