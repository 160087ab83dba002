"""Creators and their posts: topic, quality, and when each was published.

Trade-off caused: quality is hidden until a post was shown, so counting clicks favours what was shown before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from feed_ranking.config import WorldConfig
from feed_ranking.world.streams import stream

HOME_TOPIC_SHARE = 0.8
CREATOR_SHARE_OF_QUALITY = 0.6


@dataclass(frozen=True)
class Posts:
    """Creators: `creator_topic` int64[creators], `creator_quality` float32[creators].

    Posts, in order of publication: `creator`, `topic` int64[posts], `quality` float32[posts] (standard normal),
    `published_ts` float64[posts].
    """

    creator_topic: npt.NDArray[np.int64]
    creator_quality: npt.NDArray[np.float32]
    creator: npt.NDArray[np.int64]
    topic: npt.NDArray[np.int64]
    quality: npt.NDArray[np.float32]
    published_ts: npt.NDArray[np.float64]


def make_posts(config: WorldConfig) -> Posts:
    """Draw creators and posts. Publication starts one post life before the history, so that day one has a feed."""
    rng = stream(config.seed, "posts")
    creator_topic = rng.integers(0, config.topics, config.creators)
    creator_quality = rng.normal(size=config.creators)
    productivity = rng.gamma(1.0, 1.0, config.creators) + 0.2
    creator = rng.choice(config.creators, config.posts, p=productivity / productivity.sum())
    at_home = rng.random(config.posts) < HOME_TOPIC_SHARE
    topic = np.where(at_home, creator_topic[creator], rng.integers(0, config.topics, config.posts))
    own = rng.normal(size=config.posts)
    quality = CREATOR_SHARE_OF_QUALITY * creator_quality[creator] + np.sqrt(1 - CREATOR_SHARE_OF_QUALITY**2) * own
    start = start_ts(config)
    published = np.sort(rng.uniform(start - config.post_life_h * 3600, end_ts(config), config.posts))
    return Posts(
        creator_topic=creator_topic,
        creator_quality=creator_quality.astype(np.float32),
        creator=creator,
        topic=topic,
        quality=quality.astype(np.float32),
        published_ts=np.floor(published),
    )


def start_ts(config: WorldConfig) -> float:
    return datetime.fromisoformat(config.start).timestamp()


def end_ts(config: WorldConfig) -> float:
    return start_ts(config) + config.days * 86_400.0
