"""Which rows a model learns from, and how much: a window of days, and a weight for rows of the live log.

After a change of the world, rows from before it teach what no longer holds. A short window leaves them out, and a
larger weight of live rows outvotes them. Both make the models noisier in a world that stays the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from infra.columns import DAY_S
from infra.simulation.streams import HistorySpan, end_ts, start_ts

Array = npt.NDArray[np.float64]


def oldest_ts(until_ts: float, train_days: int) -> float:
    """The start of the window: the last midnight (UTC) that is at least `train_days` days before `until_ts`."""
    return float(np.floor((until_ts - train_days * DAY_S) / DAY_S) * DAY_S)


def first_day_of(span: HistorySpan, until_ts: float, train_days: int, first_day: int, end: int) -> int:
    """The first day of the history to learn from: at least `first_day`, within the window, and before the day `end`.

    The day before `end` is always in, so that a build without live rows has rows.
    """
    in_window = int(np.ceil((oldest_ts(until_ts, train_days) - start_ts(span)) / DAY_S))
    return min(max(first_day, in_window), end - 1)


def live_weights(at_ts: Array, span: HistorySpan, weight: float) -> npt.NDArray[np.float32]:
    """float32[n]: `weight` for rows at or after the end of the generated history, 1 for the others."""
    return np.where(at_ts >= end_ts(span), weight, 1.0).astype(np.float32)


def repeated(is_live: npt.NDArray[np.bool_], weight: float, seed: int) -> npt.NDArray[np.int64]:
    """int64[m]: row numbers in which each live row occurs `weight` times. Of a fraction, a random share of them occurs
    once more. For models that take no weights."""
    rng = np.random.default_rng([seed, 21])
    times = np.where(is_live, np.floor(weight + rng.random(len(is_live))), 1).astype(np.int64)
    return np.repeat(np.arange(len(is_live)), times)
