"""The nouns of the feed. Frozen, without I/O, known to every wing.

Ids are int64. Times ending in `_ts` are seconds since the epoch, UTC; durations carry their unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

from feed_ranking.config import RerankConfig, RetrieveConfig
from infra.resilience.deadline import Deadline

Ids = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

LOGGING_POLICY = "popularity_follow_v1"
RANDOM_POLICY = "uniform_v1"


@dataclass(frozen=True)
class UserFeatures:
    """What the feed knows of m users (serving: one; training: one per slate), from the feature store or defaults.

    `impressions_7d`, `ctr_7d` float32[m]; `topic_affinity` float32[m, topics]: smoothed click rate per topic over
    the user's own; `follow_topics` float32[m, topics]: share of followed creators per home topic; `follows`
    int64[m, any]: creator ids, padded with -1.
    """

    impressions_7d: Floats
    ctr_7d: Floats
    topic_affinity: Floats
    follow_topics: Floats
    follows: Ids

    def take(self, rows: npt.NDArray[np.intp]) -> UserFeatures:
        """The users at `rows`, repeated as often as they are named."""
        return UserFeatures(*(getattr(self, item.name)[rows] for item in fields(self)))


@dataclass(frozen=True)
class PostFeatures:
    """What the feed knows of n posts. All arrays [n]; `published_ts` float64, the ids int64, the rest float32."""

    creator_id: Ids
    topic: Ids
    published_ts: npt.NDArray[np.float64]
    impressions: Floats
    ctr: Floats
    creator_followers: Floats
    creator_ctr_7d: Floats

    def __len__(self) -> int:
        return len(self.creator_id)

    def take(self, rows: npt.NDArray[np.intp]) -> PostFeatures:
        return PostFeatures(*(getattr(self, item.name)[rows] for item in fields(self)))


@dataclass(frozen=True)
class FeedQuery:
    """One request for a slate of `k` posts, with all that the stages need to know of it."""

    user_id: int
    k: int
    seen: Ids
    now_ts: float
    deadline: Deadline
    retrieve: RetrieveConfig
    rerank: RerankConfig
    user: UserFeatures
    is_cold: bool = True
    embedding: Floats = field(default_factory=lambda: np.empty(0, np.float32))


@dataclass(frozen=True)
class SlateItem:
    """One shown post. `score` is the predicted probability of a click if the user looks at it."""

    position: int
    post_id: int
    creator_id: int
    topic: int
    score: float
    sources: tuple[str, ...]
