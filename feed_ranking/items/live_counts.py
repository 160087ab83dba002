"""Live counts of posts and creators: one small file that the worker replaces atomically and every service reads.

Services need no log, and a starting service has the same counts as a running one. `stats_ts` is the time as of which
the counts are computed, so an evaluation can compute the served counts again.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from feed_ranking.config import FeedConfig
from feed_ranking.domain import CREATOR_COLUMNS, POST_COLUMNS, Floats, Ids
from feed_ranking.events.history import EventLog, PublicCatalogue
from feed_ranking.features.aggregates import creator_stats_at, hottest, post_stats_at
from feed_ranking.features.running import RunningCounts
from infra.live.live_arrays import read_arrays, write_arrays

FILE = "stats.npz"
TRENDING_POSTS = 1000
CONTENT = ("quality_signal", "bait_signal")
COUNTED = tuple(name for name in POST_COLUMNS if name not in CONTENT)
"""The post columns that are counts; the others are signals of a content model."""


@dataclass(frozen=True)
class LiveStats:
    """As of `stats_ts` (world time, s): `post_id` int64[n] with `posts` float32[n, COUNTED]; `creators`
    float32[creators, CREATOR_COLUMNS], a row per id; `trending` int64[1 + regions, m] post ids, hottest first, first
    over all regions, then per region."""

    stats_ts: float
    post_id: Ids
    posts: Floats
    creators: Floats
    trending: Ids

    def write(self, path: Path) -> None:
        write_arrays(path, self)

    @classmethod
    def read(cls, path: Path) -> LiveStats:
        """Raises `OSError` or `ValueError` if the file is missing or malformed."""
        return read_arrays(path, cls, [item.name for item in fields(cls)])


def stats_at(
    known: EventLog, catalogue: PublicCatalogue, config: FeedConfig, at_ts: float, counts: RunningCounts | None = None
) -> LiveStats:
    """Counts of all posts that are alive and of all creators, as of `at_ts`, and the hottest posts. The worker keeps
    `counts` from one time to the next; without them, the whole log is counted."""
    of_posts = None if counts is None else counts.of_posts.at(known, len(catalogue.posts), at_ts)
    of_creators = None if counts is None else counts.of_creators.at(known, len(catalogue.creators), at_ts)
    posts = post_stats_at(known, catalogue, config, at_ts, of_posts)
    ids = posts["post_id"].to_numpy()
    heat = np.stack([posts[name].to_numpy() for name in COUNTED if name.startswith("heat_")])
    rows = creator_stats_at(known, catalogue, config, at_ts, of_creators)
    creators = np.zeros((len(catalogue.creators), len(CREATOR_COLUMNS)), np.float32)
    creators[rows["creator_id"].to_numpy()] = np.stack([rows[name].to_numpy() for name in CREATOR_COLUMNS], axis=1)
    return LiveStats(
        stats_ts=at_ts,
        post_id=ids,
        posts=np.stack([posts[name].to_numpy() for name in COUNTED], axis=1),
        creators=creators,
        trending=ids[hottest(heat, TRENDING_POSTS)],
    )
