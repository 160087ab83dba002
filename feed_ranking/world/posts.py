"""Posts: topic, medium, quality, bait, and a content model's noisy signals of quality and bait.

Trade-off caused: clicks reveal the quality of a post only after impressions, so click counts favour posts that were
shown before. Content signals are available at once but are noisy.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from feed_ranking.config import WorldConfig
from feed_ranking.world.creators import Creators
from infra.columns import DAY_S
from infra.simulation.streams import start_ts, stream

HOME_TOPIC_SHARE = 0.8
MEDIA = ("photo", "carousel", "video")
MEDIA_SHARES = (0.5, 0.2, 0.3)
MEDIA_DWELL = (0.0, 0.15, 0.4)
"""added to log dwell"""
TIMELINE_S = 1e9
"""seconds; longer than any history"""


@dataclass(frozen=True)
class Posts:
    """Posts ordered by publication, all arrays [posts]. Hidden: `quality`, `bait` float32, standard normal. Public:
    `creator`, `topic`, `media` int64, `published_ts` float64, `quality_signal`, `bait_signal` float32."""

    creator: npt.NDArray[np.int64]
    topic: npt.NDArray[np.int64]
    media: npt.NDArray[np.int64]
    quality: npt.NDArray[np.float32]
    bait: npt.NDArray[np.float32]
    quality_signal: npt.NDArray[np.float32]
    bait_signal: npt.NDArray[np.float32]
    published_ts: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.creator)

    @cached_property
    def timelines(self) -> Timelines:
        origin = float(self.published_ts[0])
        order = np.lexsort((self.published_ts, self.creator))
        key = self.creator[order] * TIMELINE_S + (self.published_ts[order] - origin)
        return Timelines(order, key, origin)


@dataclass(frozen=True)
class Timelines:
    """The posts of each creator by time: `order` int64[posts] lists them, `key` float64[posts] is creator ×
    `TIMELINE_S` + seconds since `origin`, ascending."""

    order: npt.NDArray[np.int64]
    key: npt.NDArray[np.float64]
    origin: float

    def place(
        self, creators: npt.NDArray[np.integer], ts: npt.NDArray[np.float64], side: Literal["left", "right"]
    ) -> npt.NDArray[np.int64]:
        """int64: index in `order` where a post of each creator at `ts` belongs, before or after the same second."""
        return np.searchsorted(self.key, creators * TIMELINE_S + (ts - self.origin), side=side)


def make_posts(config: WorldConfig, creators: Creators) -> Posts:
    """All posts. Each day has its own random stream, so a longer history starts with the posts of a shorter one."""
    days = range(-config.days_before, config.days)
    parts = [_post(config, creators, day) for day in days]
    return Posts(*(np.concatenate([getattr(part, name) for part in parts]) for name in Posts.__annotations__))


def _post(config: WorldConfig, creators: Creators, day: int) -> Posts:
    rng = stream(config.seed, "posts", day + config.days_before)
    n = config.posts_per_day
    begin = start_ts(config, day)
    there = int(np.searchsorted(creators.joined_ts, begin, side="right"))
    weight = np.cumsum(creators.productivity[:there])
    creator = np.searchsorted(weight, rng.random(n) * weight[-1])
    at_home = rng.random(n) < HOME_TOPIC_SHARE
    topic = np.where(at_home, creators.topic[creator], rng.integers(0, config.topics, n))
    quality = _blend(rng, creators.quality[creator], config.creator_share)
    bait = _blend(rng, creators.bait[creator], config.creator_share)
    return Posts(
        creator=creator.astype(np.int64),
        topic=topic.astype(np.int64),
        media=rng.choice(len(MEDIA), n, p=MEDIA_SHARES).astype(np.int64),
        quality=quality,
        bait=bait,
        quality_signal=_blend(rng, quality, config.signal_quality),
        bait_signal=_blend(rng, bait, config.signal_quality),
        published_ts=np.sort(np.floor(rng.uniform(begin, begin + DAY_S, n))),
    )


def _blend(rng: np.random.Generator, cause: npt.NDArray[np.float32], correlation: float) -> npt.NDArray[np.float32]:
    """float32[n]: standard normal, with `correlation` to `cause` float32[n]."""
    own = rng.normal(size=len(cause))
    blended: npt.NDArray[np.float32] = (correlation * cause + np.sqrt(1 - correlation**2) * own).astype(np.float32)
    return blended
