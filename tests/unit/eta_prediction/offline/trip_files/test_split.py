"""A fifth of the trips is tested: the latest ones, or rows by their line numbers."""

from __future__ import annotations

import numpy as np

from eta_prediction.offline.trip_files.split import split
from eta_prediction.offline.trip_files.trips import Trips


def test_time_split_tests_the_latest_fifth(trips: Trips) -> None:
    mixed = trips.take(np.random.default_rng(0).permutation(len(trips)))
    parts = split(mixed, "time")
    assert len(parts.test) == 600
    assert mixed.at_s[parts.early].max() <= mixed.at_s[parts.late].min()
    assert mixed.at_s[parts.late].max() <= mixed.at_s[parts.test].min()
    assert sorted([*parts.train, *parts.test]) == list(range(3000))


def test_row_split_follows_the_line_numbers_alone(trips: Trips) -> None:
    parts = split(trips, "rows")
    fewer = trips.take(np.arange(0, 3000, 3))
    again = split(fewer, "rows")
    assert set(fewer.line[again.test]) == set(trips.line[parts.test]) & set(fewer.line)
    assert abs(len(parts.test) / 3000 - 0.2) < 0.03
    assert abs(len(parts.late) / len(parts.train) - 0.15) < 0.03
    assert sorted([*parts.train, *parts.test]) == list(range(3000))
