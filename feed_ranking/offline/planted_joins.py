"""Mistakes in the joins of training, which `lab plant` can plant: a leak and a skew of features, and a wrong label.

Leak and skew wrap the store that `write_samples` joins with (`infra.feature_store.changed_join`), and `lab skew`
applies the same wrapper to the features that it computes again. Serving does not import this module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from feed_ranking.domain import Floats, Ids
from infra.feature_store.changed_join import Change

LEAK, SKEW = "leak", "skew"
LEAK_COLUMNS = ("post_id", "clicked", "request_ts")
"""the columns of the log that the leak counts"""


def planted_change(cause: str, log: Callable[[], pa.Table]) -> Change | None:
    """The change of the join that `cause` makes, None if it makes none. `log` reads `LEAK_COLUMNS` of the log."""
    if cause == LEAK:
        return CountsUntilShown.of(log())
    return dwell_in_minutes if cause == SKEW else None


def dwell_in_minutes(frame: pd.DataFrame) -> pd.DataFrame:
    """The skew: the training join returns the dwell on posts and on creators in minutes. Serving has seconds."""
    return frame.assign(**{name: frame[name] / 60 for name in ("post_dwell_s", "creator_dwell_s")})


def time_left(dwell_s: Floats) -> Floats:
    """float32[n]: the wrong label. It is the time from the end of reading to the end of the visit, instead of the time
    of reading, so it is smaller the longer somebody read. Without a click both are 0."""
    longest = float(np.quantile(dwell_s[dwell_s > 0], 0.99)) if (dwell_s > 0).any() else 0.0
    return np.where(dwell_s > 0, np.maximum(longest - dwell_s, 0.0), 0.0).astype(np.float32)


@dataclass(frozen=True)
class CountsUntilShown:
    """The leak: impressions and clicks of a post are counted until the row's own time, inclusively, by the time at
    which the post was shown. A row's own click is among them, although its label arrived later.

    `key` int64[n] orders the impressions by post, then time; `clicks` int64[n + 1] counts the clicks before each.
    """

    posts: Ids
    first_us: int
    span_us: int
    key: Ids
    clicks: Ids

    @classmethod
    def of(cls, log: pa.Table) -> CountsUntilShown:
        """`log` has `LEAK_COLUMNS`, and its rows in any order."""
        shown_us = log["request_ts"].to_numpy().astype("datetime64[us]").astype(np.int64)
        posts, row = np.unique(log["post_id"].to_numpy(), return_inverse=True)
        first, last = (int(shown_us.min()), int(shown_us.max())) if len(shown_us) else (0, 0)
        span = last - first + 2
        key = row * span + (shown_us - first)
        order = np.argsort(key, kind="stable")
        clicked = log["clicked"].to_numpy(zero_copy_only=False)[order]
        return cls(posts, first, span, key[order], np.concatenate([[0], np.cumsum(clicked)]).astype(np.int64))

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        at = pd.to_datetime(frame["event_ts"], utc=True).dt.tz_localize(None).to_numpy().astype("datetime64[us]")
        shown, clicked = self.counts(frame["post_id"].to_numpy(np.int64), at.astype(np.int64))
        return frame.assign(post_impressions=shown, post_clicks=clicked)

    def counts(self, post_id: Ids, at_us: Ids) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """float32[m] each: impressions and clicks of posts shown at `at_us` or before."""
        if not len(self.posts):
            return np.zeros(len(post_id), np.float32), np.zeros(len(post_id), np.float32)
        row = np.minimum(np.searchsorted(self.posts, post_id), len(self.posts) - 1)
        offset = np.clip(at_us - self.first_us, -1, self.span_us - 2)
        low = np.searchsorted(self.key, row * self.span_us)
        high = np.maximum(np.searchsorted(self.key, row * self.span_us + offset, side="right"), low)
        is_known = self.posts[row] == post_id
        shown, clicked = high - low, self.clicks[high] - self.clicks[low]
        return (shown * is_known).astype(np.float32), (clicked * is_known).astype(np.float32)
