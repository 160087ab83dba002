"""Impression counts of each pair of user and ad, for ad fatigue and frequency caps."""

from __future__ import annotations

import numpy as np

from ctr_prediction.domain import Ints


class Exposures:
    """Counts of (user, ad) pairs. Today's counts are stored separately, so the cost of adding depends only on the
    number of today's pairs."""

    def __init__(self, ads: int) -> None:
        self._ads = ads
        none = np.zeros(0, np.int64)
        self._before, self._today = (none, none), (none, none)

    def show(self, users: Ints, ads: Ints) -> Ints:
        """int64[n]: number of earlier impressions of each pair. Then count the given impressions, ordered by time."""
        keys = users * np.int64(self._ads) + ads
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        is_first = np.ones(len(keys), bool)
        is_first[1:] = ordered[1:] != ordered[:-1]
        first = np.flatnonzero(is_first)
        group = np.cumsum(is_first) - 1
        within = np.empty(len(keys), np.int64)
        within[order] = np.arange(len(keys)) - first[group]
        seen = within + _counts(self._before, keys) + _counts(self._today, keys)
        self._today = _merged(self._today, (ordered[first], np.bincount(group)))
        return seen

    def end_day(self) -> None:
        none = np.zeros(0, np.int64)
        self._before, self._today = _merged(self._before, self._today), (none, none)


def _counts(table: tuple[Ints, Ints], keys: Ints) -> Ints:
    known, counts = table
    if not len(known):
        return np.zeros(len(keys), np.int64)
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[place] == keys, counts[place], 0)


def _merged(one: tuple[Ints, Ints], other: tuple[Ints, Ints]) -> tuple[Ints, Ints]:
    keys, inverse = np.unique(np.concatenate([one[0], other[0]]), return_inverse=True)
    counts = np.bincount(inverse, np.concatenate([one[1], other[1]]), len(keys))
    return keys, counts.astype(np.int64)
