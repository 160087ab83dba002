"""Event schemas of the feed's stream. ADR 0011 lists the producers and consumers of each topic.

Times are seconds since the epoch, UTC, of the world clock. An impression or a reaction repeats the fields of the served
slate (the app sends them back), so no consumer needs to join streams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

MAX_PLACES = 1000
"""number of slate positions that an event id can encode"""


@dataclass(frozen=True)
class Topics:
    """Topic names of the feed."""

    posts: str = "feed_ranking.posts"
    impressions: str = "feed_ranking.impressions"
    reactions: str = "feed_ranking.reactions"
    predictions: str = "feed_ranking.predictions"
    dead_letters: str = "feed_ranking.dead_letters"


TOPICS = Topics()


def topics() -> tuple[str, ...]:
    """All topics of the feed."""
    return tuple(getattr(TOPICS, item.name) for item in fields(TOPICS))


@dataclass(frozen=True)
class PostPublished:
    """A published post, with the signals of a content model.

    All events with the same `post_id` are on one partition, so every consumer sees the same one first and keeps it.
    """

    SCHEMA: ClassVar[str] = "feed.post"
    VERSION: ClassVar[int] = 1

    post_id: int
    creator_id: int
    topic: int
    media: int
    quality_signal: float
    bait_signal: float
    published_ts: float

    @property
    def event_id(self) -> str:
        return str(self.post_id)

    @property
    def event_ts(self) -> float:
        return self.published_ts

    @property
    def key(self) -> str:
        return str(self.post_id)


@dataclass(frozen=True)
class Impression:
    """An item shown on the screen. `post_id` and `creator_id` are -1 for an ad, `ad_id` is -1 for a post. `depth`
    counts the earlier items of the session, `creator_before` the earlier items by the same creator."""

    SCHEMA: ClassVar[str] = "feed.impression"
    VERSION: ClassVar[int] = 1

    session_id: int
    slate_id: int
    user_id: int
    post_id: int
    creator_id: int
    ad_id: int
    position: int
    depth: int
    creator_before: int
    policy: str
    propensity: float
    request_ts: float
    seen_ts: float

    @property
    def event_id(self) -> str:
        return str(self.number)

    @property
    def number(self) -> int:
        """The event id in the log: the slate's id combined with the position."""
        return self.slate_id * MAX_PLACES + self.position

    @property
    def event_ts(self) -> float:
        return self.seen_ts

    @property
    def key(self) -> str:
        return str(self.user_id)


@dataclass(frozen=True)
class Reaction(Impression):
    """The label of an impression, positive or negative. `label_ts` is when the service received it."""

    SCHEMA: ClassVar[str] = "feed.reaction"
    VERSION: ClassVar[int] = 1

    clicked: bool
    liked: bool
    commented: bool
    dwell_s: float
    left: bool
    label_ts: float

    @property
    def event_ts(self) -> float:
        return self.label_ts


@dataclass(frozen=True)
class Prediction:
    """One request and its response, with everything that a replay needs.

    `features` are the user's features as served (field of `UserFeatures` -> list). `feature_ts` is the as-of time of
    the user's features (0: defaults), `stats_ts` the as-of time of the posts' counts. `post_ids` are the n posts of the
    heavy ranker's batch, in order, with `creator_ids` and `published_ts`. `inputs` float32[n, ranker inputs] is base64
    of Zstandard of its bytes (`codec.pack`); `scores` float32[n] are the outputs. `chosen` are the batch positions of
    the organic slate, with `propensity` and `explored`. `shadow_of` is the id of the slate that the user got, if the
    challenger of a rollout has computed this one in the shadow; else -1.
    """

    SCHEMA: ClassVar[str] = "feed.prediction"
    VERSION: ClassVar[int] = 2

    slate_id: int
    user_id: int
    k: int
    seed: int
    request_ts: float
    model_version: str
    model_digest: str
    policy: str
    is_cold: bool
    degraded: Sequence[str]
    knobs: Mapping[str, Any]
    seen: Sequence[int]
    feature_ts: float
    stats_ts: float
    features: Mapping[str, Any]
    embedding: Sequence[float]
    post_ids: Sequence[int]
    creator_ids: Sequence[int]
    published_ts: Sequence[float]
    inputs: str
    scores: Sequence[float]
    chosen: Sequence[int]
    propensity: Sequence[float]
    explored: Sequence[bool]
    shadow_of: int = -1

    @property
    def event_id(self) -> str:
        return str(self.slate_id)

    @property
    def event_ts(self) -> float:
        return self.request_ts

    @property
    def key(self) -> str:
        return str(self.user_id)
