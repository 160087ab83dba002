"""Counts of posts and creators as the worker writes them and every service reads them: one small file, replaced whole.

Serving needs no log for it, and a service that starts has the same counts as one that runs. `stats_ts` says as of when
they are, so that what was served can be counted again later.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from feed_ranking.domain import POST_COLUMNS, Floats, Ids
from infra.live.live_arrays import read_arrays, write_arrays

FILE = "stats.npz"
CONTENT = ("quality_signal", "bait_signal")
COUNTED = tuple(name for name in POST_COLUMNS if name not in CONTENT)
"""The columns of a post that are counted; the others are what a content model saw."""


@dataclass(frozen=True)
class LiveStats:
    """As of `stats_ts` (world time, s): `post_id` int64[n] with `posts` float32[n, COUNTED]; `creators`
    float32[creators, CREATOR_COLUMNS], a row for each id; `trending` int64[1 + regions, m] post ids, hottest first,
    everywhere and in each region."""

    stats_ts: float
    post_id: Ids
    posts: Floats
    creators: Floats
    trending: Ids

    def write(self, path: Path) -> None:
        write_arrays(path, self)

    @classmethod
    def read(cls, path: Path) -> LiveStats:
        """Raises `OSError` or `ValueError` where there is none, or none that makes sense."""
        return read_arrays(path, cls, [item.name for item in fields(cls)])
