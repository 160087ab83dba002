"""Random users, posts and snapshots of the feed for unit tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import (
    COUNTS,
    CREATOR_COLUMNS,
    CREATOR_COUNTS,
    STATS,
    TOPIC_COUNTS,
    Floats,
    Ids,
    PostFeatures,
    UserFeatures,
)
from feed_ranking.items.snapshot import write_snapshot
from feed_ranking.items.vector_index import VectorIndex
from feed_ranking.model.inputs import Context, Priors, post_inputs

TOPICS, CREATORS, DIMENSION = 5, 12, 8
PRIORS = Priors(0.1, 0.2, 0.05, 20.0, TOPICS, (0.3, 0.2, 0.2, 0.2, 0.1))


def some_users(rng: np.random.Generator, count: int, slots: int = 4) -> UserFeatures:
    """Return users with plausible counts: no user has more clicks than impressions."""
    shown = rng.integers(0, 100, (count, 1))
    long = np.floor(shown * rng.uniform(0, 1, (count, len(COUNTS))))
    long[:, 0] = shown[:, 0]
    return UserFeatures(
        counts_long=long.astype(np.float32),
        counts_recent=np.floor(long / 3).astype(np.float32),
        topic_counts=rng.integers(0, 9, (count, len(TOPIC_COUNTS) * TOPICS)).astype(np.float32),
        creators=np.stack([rng.permutation(CREATORS)[:slots] for _ in range(count)]).astype(np.int64),
        creator_counts=rng.integers(0, 9, (count, len(CREATOR_COUNTS) * slots)).astype(np.float32),
        follows=np.stack([rng.permutation(CREATORS)[:6] for _ in range(count)]).astype(np.int64),
        follow_topics=rng.dirichlet(np.ones(TOPICS), count).astype(np.float32),
        declared=rng.integers(0, TOPICS, (count, 3)),
        region=rng.integers(0, 4, count),
    )


def some_posts(rng: np.random.Generator, count: int) -> PostFeatures:
    """Return posts in order of publication."""
    stats = rng.integers(0, 50, (count, len(STATS))).astype(np.float32)
    return PostFeatures(
        creator_id=rng.integers(0, CREATORS, count),
        topic=rng.integers(0, TOPICS, count),
        media=rng.integers(0, 3, count),
        creator_region=rng.integers(0, 4, count),
        published_ts=np.sort(rng.random(count) * 1e5),
        stats=stats,
    )


def embed(inputs: Floats) -> Floats:
    """Stand-in for the post tower: return the first `DIMENSION` columns unchanged."""
    return inputs[:, :DIMENSION]


EXPIRED = (1, 4)
"""ids of posts that `some_snapshot` leaves out because they are too old"""


def some_snapshot(path: Path, count: int = 120, indexed: int = 100, seed: int = 0, ids: Ids | None = None) -> None:
    """Write a snapshot of `count` posts with ids 5, 8, 11 … (or `ids`). The index holds the oldest `indexed` posts."""
    rng = np.random.default_rng(seed)
    posts = some_posts(rng, count)
    vectors = rng.normal(size=(count, DIMENSION)).astype(np.float32)
    write_snapshot(
        path,
        np.arange(count) * 3 + 5 if ids is None else ids,
        posts,
        item_side=post_inputs(posts, PRIORS),
        embeddings=vectors,
        trending=np.stack([rng.permutation(count)[:30] for _ in range(5)]),
        creator_stats=rng.random((CREATORS, len(CREATOR_COLUMNS))).astype(np.float32),
        creators_region=rng.integers(0, 4, CREATORS),
        expired_id=np.array(EXPIRED[::-1] if ids is None else [], np.int64),
        index=VectorIndex.build("flat", vectors[:indexed]),
        meta={"model_digest": "m1", "ads": 3},
    )


def many(seed: int, users: int, posts: int) -> tuple[UserFeatures, PostFeatures, Floats, Context, npt.NDArray[np.intp]]:
    """Return users with different numbers of followed and known creators, and their impressions."""
    rng = np.random.default_rng(seed)
    viewers = some_users(rng, users)
    follows, creators = (np.where(rng.random(ids.shape) < 0.3, -1, ids) for ids in (viewers.follows, viewers.creators))
    viewers = replace(viewers, follows=follows, creators=creators)
    context = Context(2e5 + 1e5 * rng.random(posts), rng.integers(0, 60, posts), rng.integers(0, 4, posts))
    score = rng.normal(size=posts).astype(np.float32)
    return viewers, some_posts(rng, posts), score, context, rng.integers(0, users, posts)
