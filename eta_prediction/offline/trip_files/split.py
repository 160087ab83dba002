"""Splits trips: a fifth is tested, and a part of the training trips chooses and calibrates the models."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import Ints
from eta_prediction.offline.trip_files.trips import Trips

TESTED = 5
"""the test part is one trip in this many"""
LATE_SHARE = 0.15
"""share of the training trips that choose the number of rounds and calibrate the intervals"""


@dataclass(frozen=True)
class Split:
    """Rows of the trips, in order of time: `early` + `late` train, `test` is measured."""

    early: Ints
    late: Ints
    test: Ints
    by_time: bool

    @property
    def train(self) -> Ints:
        return np.concatenate([self.early, self.late])


def split(trips: Trips, how: str) -> Split:
    """By `time`, the last fifth is tested; by `rows`, a fifth that a hash of the line numbers chooses."""
    order = np.argsort(trips.at_s, kind="stable")  # trips of the same second keep the order of the file
    if how == "time":
        first = len(order) * (TESTED - 1) // TESTED
        late = int(first * (1 - LATE_SHARE))
        return Split(order[:late], order[late:first], order[first:], by_time=True)
    chance = hashed(trips.line[order])
    tested = chance < 1 / TESTED
    is_late = ~tested & (chance < 1 / TESTED + (1 - 1 / TESTED) * LATE_SHARE)
    return Split(order[~tested & ~is_late], order[is_late], order[tested], by_time=False)


def hashed(line: Ints) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """float64[n] in [0, 1): a hash of row numbers (the finalizer of SplitMix64)."""
    x = line.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return (x ^ (x >> np.uint64(31))).astype(np.float64) / 2.0**64
