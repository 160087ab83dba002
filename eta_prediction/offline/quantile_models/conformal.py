"""Conformal adjustment from trips that a model did not learn from: over blocks of days, or on the last days.

Trips of one day share their weather and traffic, so days, not trips, are the sample size of a calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from eta_prediction.domain import Array, Ints
from eta_prediction.model.inputs import Floats
from eta_prediction.model.quantiles import offsets_of, scores

LAST = {"last_17": 17, "last_4": 4}


def blocks_of(day: Ints, folds: int) -> Ints:
    """int64[n]: the block of consecutive days that each trip belongs to, from 0."""
    days = np.unique(day)
    number = np.arange(len(days)) * min(folds, len(days)) // max(len(days), 1)
    return number[np.searchsorted(days, day)]


def out_of_fold(day: Ints, folds: int, fit_and_predict: Callable[[Ints, Ints, int], Floats]) -> Floats:
    """float32[n, 3]: predictions of each block by a model that learned from the others.

    `fit_and_predict(train, test, block)` gets row numbers and returns float32[len(test), 3].
    """
    block, found = blocks_of(day, folds), np.zeros((len(day), 3), np.float32)
    for number in np.unique(block).tolist():
        test = np.flatnonzero(block == number)
        found[test] = fit_and_predict(np.flatnonzero(block != number), test, number)
    return found


def offsets_by_days(ratios: Floats, actual: Array, day: Ints) -> Mapping[str, tuple[float, float]]:
    """The adjustment by kind of calibration: from all days with predictions, the last 17, and the last 4.

    Every build computes it again, so the last days roll on with the builds.
    """
    below, above = scores(ratios, actual)
    found = {"all_days": offsets_of(below, above)}
    for name, days in LAST.items():
        recent = day > day.max(initial=0) - days
        found[name] = offsets_of(below[recent], above[recent])
    return found
