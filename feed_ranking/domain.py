"""Types that every package of the feed uses. Frozen, without I/O.

Ids are int64. Times ending in `_ts` are seconds since the epoch, UTC; durations carry their unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from feed_ranking.config import ObjectiveConfig, RankConfig, RerankConfig, RetrieveConfig
from infra.resilience.deadline import Deadline

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]

LOGGING_POLICY = "engagement_v1"
SERVING_POLICY = "ranked_v1"
RANDOM_POLICY = "uniform_v1"

REGION_UTC_OFFSET_H = (0, -6, 8, 3)
"""Hours to add to UTC for the local time of each region."""

COUNTS = ("impressions", "clicks", "likes", "comments", "dwell_s", "sessions")
"""Counts per user and window."""
TOPIC_COUNTS = ("impressions", "clicks", "likes", "dwell_s")
CREATOR_COUNTS = ("impressions", "clicks", "dwell_s")
REACTIONS = ("impressions", "clicks", "likes", "comments", "dwell_s")
"""Counts per post and per creator."""

POST_COLUMNS = (
    "quality_signal",
    "bait_signal",
    *(f"post_{name}" for name in REACTIONS),
    "post_impressions_recent",
    "post_clicks_recent",
    *(f"heat_{region}" for region in range(len(REGION_UTC_OFFSET_H))),
)
"""`heat_r`: clicks from region r, with exponential decay; the half-life is the knob `heat_half_life_h`."""
CREATOR_COLUMNS = (
    "creator_followers",
    "creator_posts",
    "creator_age_days",
    "creator_quality_signal",
    "creator_bait_signal",
    *(f"creator_{name}" for name in REACTIONS),
    "creator_impressions_recent",
    "creator_clicks_recent",
)
STATS = POST_COLUMNS + CREATOR_COLUMNS


@dataclass(frozen=True)
class UserFeatures:
    """Features of m users (serving: one; training: one per slate), from the feature store or the defaults.

    Counts are raw; `model/inputs/smoothing.py` turns them into rates. float32: `counts_long` and `counts_recent`
    [m, COUNTS]; `topic_counts` [m, TOPIC_COUNTS × topics]; `creator_counts` [m, CREATOR_COUNTS × slots], of the
    creators in `creators` int64[m, slots], padded with -1; `follow_topics` [m, topics]: share of followed creators per
    home topic. int64: `follows` [m, any], padded with -1; `declared` [m, 3]; `region` [m].
    """

    counts_long: Floats
    counts_recent: Floats
    topic_counts: Floats
    creators: Ids
    creator_counts: Floats
    follows: Ids
    follow_topics: Floats
    declared: Ids
    region: Ids

    def __len__(self) -> int:
        return len(self.region)

    def take(self, rows: npt.NDArray[np.intp]) -> UserFeatures:
        """The users at `rows`; a row that occurs twice in `rows` occurs twice in the result."""
        return UserFeatures(*(getattr(self, item.name)[rows] for item in fields(self)))


@dataclass(frozen=True)
class PostFeatures:
    """Features of n posts. `creator_id`, `topic`, `media`, `creator_region` int64[n]; `published_ts` float64[n];
    `stats` float32[n, STATS]: raw counts and signals of the post and of its creator."""

    creator_id: Ids
    topic: Ids
    media: Ids
    creator_region: Ids
    published_ts: Times
    stats: Floats

    def __len__(self) -> int:
        return len(self.creator_id)

    def take(self, rows: npt.NDArray[np.integer]) -> PostFeatures:
        return PostFeatures(*(getattr(self, item.name)[rows] for item in fields(self)))


@dataclass(frozen=True)
class FeedQuery:
    """One request for a slate of `k` posts, with everything that the stages need.

    `seen` are the posts of this session. `seed` determines every random choice of this request. `policy` names the
    policy that draws the slate. `feature_ts` is the time as of which the user's features are computed, 0 for defaults.
    `read` is the user's row (`infra.feature_store.port.FeatureRow`) that was read before the pipeline, or the error of
    that read, None if nothing was read. `user_topics` is the `topic_table` of `user`, which several stages need.
    """

    user_id: int
    k: int
    seen: Ids
    now_ts: float
    seed: int
    deadline: Deadline
    retrieve: RetrieveConfig
    rank: RankConfig
    objective: ObjectiveConfig
    rerank: RerankConfig
    user: UserFeatures
    is_cold: bool = True
    embedding: Floats | None = None
    slate_id: int = 0
    policy: str = SERVING_POLICY
    knobs: Mapping[str, Any] = field(default_factory=dict)
    feature_ts: float = 0.0
    seen_creators: Ids = field(default_factory=lambda: np.empty(0, np.int64))
    read: Any = None
    user_topics: Floats | None = None


AD, EMPTY = -2, -1
"""Placeholders for a post id in arrays of slates: an ad, and an empty place."""


@dataclass(frozen=True)
class PlayedSlate:
    """One response as experiments read it, in post ids int64: the `slate` as shown, with `AD` for an ad; the
    `ranking` of the ranked posts, best first; and the posts that each source `found`."""

    slate: Ids
    ranking: Ids
    found: Mapping[str, Ids]

    @property
    def pool(self) -> Ids:
        """The candidates that the slate was chosen from, ascending."""
        return np.unique(np.concatenate(list(self.found.values())))


@dataclass(frozen=True)
class SlateItem:
    """One place of a slate, a post or an ad.

    `score` is the predicted value of an examined impression, in seconds of attention. `propensity` is the probability
    that the policy chooses this item for this place, given the places above. An ad has an `ad_id` and no post.
    """

    position: int
    post_id: int | None
    creator_id: int | None
    topic: int | None
    ad_id: int | None
    score: float
    propensity: float
    explored: bool
    sources: tuple[str, ...]
