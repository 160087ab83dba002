"""Every number of the feed, one dataclass per stage. A field made by `knob` can be turned.

World parameters are not knobs: they are the truth that models are measured against.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

from infra.design import Budget, knob


@dataclass(frozen=True)
class WorldConfig:
    """Size and truth of the generated world. Probabilities are built from logits, so weights are in logits."""

    seed: int = 7
    start: str = "2026-01-05T00:00:00+00:00"
    users: int = 4_000
    creators: int = 400
    posts: int = 12_000
    topics: int = 16
    days: int = 10
    sessions_per_user_day: float = 0.6
    slate_size: int = 20
    pool_size: int = 120
    """candidates that the logging policy chooses from"""
    post_life_h: float = 72.0
    """a post older than this is no candidate any more"""
    follows_mean: float = 12.0
    homophily: float = 1.0
    """how much more likely a user follows a creator of a liked topic"""
    click_bias: float = -3.2
    taste_weight: float = 0.9
    quality_weight: float = 0.7
    follow_weight: float = 0.6
    examination_decay: float = 0.6
    """position p (from 0) is looked at with probability (1 + p) ** -decay"""
    randomised_share: float = 0.05
    """share of slates that the logging policy fills uniformly at random; evaluation happens there"""


@dataclass(frozen=True)
class FeatureConfig:
    user_window_days: int = knob(7, unit="days", low=1, high=28, trades="longer: less noise, slower to follow a change")
    post_snapshot_h: int = knob(
        6, unit="h", low=1, high=24, trades="shorter: fresher counts, more rows to compute and join"
    )
    prior_strength: float = knob(
        20.0, unit="impressions", low=1.0, high=1000.0, trades="higher: rates of rarely shown items stay near the mean"
    )
    affinity_strength: float = knob(
        5.0, unit="impressions", low=0.5, high=1000.0, trades="higher: tastes show later, but fewer are imagined"
    )
    ttl_h: float = knob(48.0, unit="h", low=1.0, high=720.0, trades="longer: fewer degraded answers, older features")


@dataclass(frozen=True)
class TowerConfig:
    dimension: int = knob(32, unit="", low=8, high=128, trades="larger: finer retrieval, bigger index, slower search")
    hidden: int = knob(64, unit="", low=8, high=512, trades="larger: more capacity, slower training")
    epochs: int = knob(6, unit="", low=1, high=50, trades="more: better fit until it overfits, longer builds")
    batch: int = knob(
        512, unit="clicks", low=64, high=8192, trades="larger: more negatives for each click, fewer updates"
    )
    temperature: float = knob(0.1, unit="", low=0.01, high=1.0, trades="lower: harder negatives, less stable training")


@dataclass(frozen=True)
class RankerConfig:
    hidden: int = knob(64, unit="", low=8, high=1024, trades="larger: more capacity, more milliseconds per candidate")
    epochs: int = knob(4, unit="", low=1, high=50, trades="more: better fit until it overfits, longer builds")
    batch: int = knob(2048, unit="rows", low=128, high=65536, trades="larger: faster epochs, fewer updates")
    sample: int = knob(300_000, unit="rows", low=1000, high=10_000_000, trades="more: better model, longer builds")


@dataclass(frozen=True)
class RetrieveConfig:
    follow_limit: int = knob(
        200, unit="posts", low=0, high=1000, per_request=True, trades="more: people they chose; fewer discoveries"
    )
    interest_limit: int = knob(
        200, unit="posts", low=0, high=1000, per_request=True, trades="more: better recall, more to rank"
    )
    trending_limit: int = knob(
        100, unit="posts", low=0, high=1000, per_request=True, trades="more: safe for unknown users, same for everyone"
    )


@dataclass(frozen=True)
class RerankConfig:
    creator_cap: int = knob(
        3, unit="posts", low=1, high=200, per_request=True, trades="lower: more variety, fewer expected clicks now"
    )


@dataclass(frozen=True)
class ServeConfig:
    deadline_ms: float = knob(
        150.0, unit="ms", low=10, high=5000, trades="longer: fewer refusals of late requests, slower worst case"
    )
    feature_timeout_ms: float = knob(
        40.0, unit="ms", low=1, high=1000, trades="longer: fewer degraded answers, later fallback"
    )
    breaker_open_s: float = knob(
        1.0, unit="s", low=0.1, high=60, trades="longer: less load on a sick store, slower recovery"
    )
    workers: int = knob(2, unit="threads", low=1, high=64, trades="more: more requests at once, each one slower")
    queue: int = knob(32, unit="requests", low=0, high=1000, trades="longer: fewer refusals, longer waits")
    max_body_kb: int = knob(64, unit="kB", low=1, high=1024, trades="larger: longer `seen` lists, more to parse")


@dataclass(frozen=True)
class FeedConfig:
    world: WorldConfig = WorldConfig()
    features: FeatureConfig = FeatureConfig()
    towers: TowerConfig = TowerConfig()
    ranker: RankerConfig = RankerConfig()
    retrieve: RetrieveConfig = RetrieveConfig()
    rerank: RerankConfig = RerankConfig()
    serve: ServeConfig = ServeConfig()


BUDGETS = (
    Budget("p99_ms", 200.0, "ms", "at_most", "99 of 100 slates arrive within this time"),
    Budget("success_share", 0.999, "", "at_least", "share of requests answered with a slate"),
    Budget("degraded_share", 0.01, "", "at_most", "share of slates that had to do without a part, in normal operation"),
)

SMALL = FeedConfig()
SMOKE = replace(
    SMALL,
    # a small world needs a larger random share before a gate can tell anything
    world=WorldConfig(users=600, creators=80, posts=2_400, days=6, sessions_per_user_day=0.8, randomised_share=0.25),
    towers=TowerConfig(epochs=3, batch=256),
    ranker=RankerConfig(epochs=3, batch=1024),
)
LARGE = replace(
    SMALL, world=WorldConfig(users=20_000, creators=2_000, posts=50_000, days=14, sessions_per_user_day=0.5)
)

PRESETS = MappingProxyType({"smoke": SMOKE, "small": SMALL, "large": LARGE})
