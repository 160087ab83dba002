"""Configuration of the feed, one dataclass per stage. Users may change the fields that are made by `knob`.

World parameters are not knobs, because models are measured against them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from infra.design import Budget, choice, knob
from infra.evaluation.drift_config import DriftConfig
from infra.evaluation.rollout_config import RolloutConfig


@dataclass(frozen=True)
class WorldConfig:
    """Size and parameters of the generated world. ADR 0010 gives the source of each number.

    Weights are in logits of a probability, or in log seconds for dwell, unless the name contains a unit.
    """

    seed: int = 7
    start: str = "2026-01-05T00:00:00+00:00"
    users: int = 20_000
    creators_at_start: int = 1_830
    new_creators_per_day: int = 10
    posts_per_day: int = 2_940
    topics: int = 16
    days: int = 14
    sessions_per_user_day: float = 0.165
    slate_size: int = 20
    max_slates: int = 3
    """maximum number of slates per session"""
    pool_size: int = 150
    """candidates that the logging policy chooses from"""
    post_life_h: float = 72.0
    """posts older than this are not candidates"""
    randomised_share: float = 0.05
    """share of slates that the logging policy fills uniformly at random; evaluation uses these slates"""

    follows_mean: float = 40.0
    homophily: float = 1.2
    """weight of the user's taste for a creator's topic, in logits of a follow"""
    fame_exponent: float = 0.8
    """the creator of rank r receives follows in proportion to r ** -fame_exponent"""
    new_creator_followers: float = 8.0
    creator_share: float = 0.8
    """correlation of a post's quality (and bait) with the quality (and bait) of its creator"""
    signal_quality: float = 0.85
    """correlation of a content model's signals with the true quality and bait"""

    click_bias: float = -2.0
    taste_click: float = 0.9
    quality_click: float = 0.6
    bait_click: float = 0.5
    follow_click: float = 0.5
    recency_click: float = 0.35
    """subtracted from the click logit, times log1p(age / 6 h)"""
    fatigue_click: float = 0.5
    """subtracted from the click logit for each earlier post of the same creator in the session"""
    examination_decay: float = 0.5
    """a user examines position p (from 0) with probability (1 + p) ** -decay"""

    dwell_mean_s: float = 15.0
    dwell_spread: float = 0.8
    """standard deviation of log dwell"""
    taste_dwell: float = 0.35
    quality_dwell: float = 0.35
    bait_dwell: float = 0.7
    """subtracted from log dwell per unit of bait"""
    like_bias: float = -2.2
    taste_like: float = 0.5
    quality_like: float = 0.5
    bait_like: float = 0.5
    comment_bias: float = -3.8
    taste_comment: float = 0.3
    quality_comment: float = 0.3
    follow_comment: float = 0.6

    leave_bias: float = -4.0
    satiation_leave: float = 0.35
    """added to the leave logit, times log1p(posts seen in this session)"""
    ad_leave: float = 0.7
    ad_positions: tuple[int, ...] = (5, 13)
    ad_fill: float = 0.7
    """share of ad positions that the logging policy fills; the unfilled ones make the cost of an ad measurable"""

    burst_share: float = 0.02
    burst_click: float = 1.5
    burst_elsewhere: float = 0.3
    """share of a burst's effect outside its region"""
    burst_decay_h: float = 6.0

    @property
    def creators(self) -> int:
        """Creators that have joined by the end of the history."""
        return self.creators_at_start + self.new_creators_per_day * self.days

    @property
    def days_before(self) -> int:
        """Days of posts before the history. They give the first day of the history a full feed."""
        return math.ceil(self.post_life_h / 24)

    @property
    def posts(self) -> int:
        return self.posts_per_day * (self.days + self.days_before)


@dataclass(frozen=True)
class ObjectiveConfig:
    """The value of a click, in seconds of attention. The oracle uses the same defaults."""

    click_weight: float = knob(
        0.0, unit="s", low=0, high=1000, per_request=True, trades="higher: more clicks, and more clickbait among them"
    )
    dwell_weight: float = knob(
        1.0, unit="", low=0, high=100, per_request=True, trades="higher: longer visits to fewer posts"
    )
    like_weight: float = knob(
        20.0, unit="s", low=0, high=1000, per_request=True, trades="higher: more posts that users like, not only read"
    )
    comment_weight: float = knob(
        60.0,
        unit="s",
        low=0,
        high=10_000,
        per_request=True,
        trades="higher: more comments, mostly by followers of the creator",
    )


@dataclass(frozen=True)
class FeatureConfig:
    window_days: int = knob(14, unit="days", low=1, high=28, trades="longer: less noise, slower to follow a change")
    recent_days: int = knob(2, unit="days", low=1, high=28, trades="longer: less noise, slower to follow a change")
    creator_slots: int = knob(
        32, unit="creators", low=1, high=200, trades="more: creators that the user rarely meets count too, larger rows"
    )
    post_snapshot_h: int = knob(
        6, unit="h", low=1, high=24, trades="shorter: fresher counts, more rows to compute and join"
    )
    live_snapshot_s: int = knob(
        900, unit="s", low=10, high=86_400, trades="shorter: live rows join features as fresh as served ones, more rows"
    )
    """time between two snapshots of what has new events in the live log"""
    heat_half_life_h: float = knob(
        4.0, unit="h", low=0.5, high=72.0, trades="shorter: bursts show sooner, and more of them are noise"
    )
    ttl_h: float = knob(48.0, unit="h", low=1.0, high=720.0, trades="longer: fewer degraded responses, older features")


@dataclass(frozen=True)
class SampleConfig:
    rows: int = knob(300_000, unit="rows", low=1000, high=10_000_000, trades="more: better models, longer builds")
    first_day: int = knob(
        2, unit="day", low=0, high=28, trades="later: fuller user histories, as in serving, but fewer rows"
    )
    holdout_days: int = knob(2, unit="days", low=1, high=14, trades="more: tighter intervals, older models")
    train_days: int = knob(
        365, unit="days", low=1, high=3650, trades="fewer: older rows are left out after a change, but fewer rows teach"
    )
    live_weight: float = knob(
        1.0,
        unit="",
        low=0.0,
        high=100.0,
        trades="higher: live rows outvote the generated history after a change, but few rows are noisy",
    )


@dataclass(frozen=True)
class TowerConfig:
    tower_dimension: int = knob(
        32, unit="", low=8, high=128, trades="larger: finer retrieval, bigger index, slower search"
    )
    tower_hidden: int = knob(128, unit="", low=8, high=512, trades="larger: more capacity, slower training")
    tower_epochs: int = knob(6, unit="", low=1, high=50, trades="more: better fit until it overfits, longer builds")
    tower_batch: int = knob(
        512, unit="clicks", low=64, high=8192, trades="larger: more negatives for each click, fewer updates"
    )


@dataclass(frozen=True)
class LightConfig:
    """The light ranker: a small network with few inputs that scores every candidate."""

    light_hidden: int = knob(32, unit="", low=4, high=512, trades="larger: a better cut that saves less time")
    light_epochs: int = knob(3, unit="", low=1, high=50, trades="more: better fit until it overfits, longer builds")


@dataclass(frozen=True)
class HeavyConfig:
    """The heavy ranker: a network with all inputs that scores the candidates that pass the cut."""

    heavy_hidden: int = knob(
        384, unit="", low=8, high=4096, trades="larger: more capacity, more milliseconds per candidate"
    )
    heavy_epochs: int = knob(1, unit="", low=1, high=50, trades="more: better fit until it overfits, longer builds")
    ranker_batch: int = knob(2048, unit="rows", low=128, high=65536, trades="larger: faster epochs, fewer updates")
    warm_start: str = choice(
        "no",
        ("no", "yes"),
        trades="yes: all networks start from the served weights, so that fewer epochs do; a build is not repeatable",
    )


@dataclass(frozen=True)
class IndexConfig:
    index: str = choice(
        "flat",
        ("flat", "ivf", "hnsw"),
        trades="flat is exact; ivf and hnsw are faster among very many posts but miss some of them",
    )
    index_lag_h: float = knob(
        6.0,
        unit="h",
        low=0.0,
        high=48.0,
        trades="longer: fewer rebuilds, more posts that only the fresh source retrieves",
    )


@dataclass(frozen=True)
class RetrieveConfig:
    follow_limit: int = knob(
        500,
        unit="posts",
        low=0,
        high=2000,
        per_request=True,
        trades="more: posts of followed creators, fewer discoveries",
    )
    interest_limit: int = knob(
        1100, unit="posts", low=0, high=2000, per_request=True, trades="more: better recall, more to rank"
    )
    trending_limit: int = knob(
        150, unit="posts", low=0, high=1000, per_request=True, trades="more: safer for unknown users, less personal"
    )
    fresh_limit: int = knob(
        250,
        unit="posts",
        low=0,
        high=2000,
        per_request=True,
        trades="more: new posts are retrieved at once, more to rank",
    )
    nprobe: int = knob(
        64, unit="lists", low=1, high=1024, per_request=True, trades="more: better recall of an ivf index, slower"
    )
    ef: int = knob(
        512, unit="nodes", low=16, high=4096, per_request=True, trades="more: better recall of an hnsw index, slower"
    )


@dataclass(frozen=True)
class RankConfig:
    heavy_top_k: int = knob(
        200, unit="posts", low=0, high=5000, per_request=True, trades="more: fewer good posts cut, more milliseconds"
    )
    hydration: str = choice(
        "snapshot",
        ("snapshot", "feast"),
        per_request=True,
        trades="feast reads each candidate's columns from the feature store: simple, but breaks the latency budget",
    )


@dataclass(frozen=True)
class RerankConfig:
    creator_cap: int = knob(
        3, unit="posts", low=1, high=200, per_request=True, trades="lower: more variety, less expected attention now"
    )
    repeat_discount: float = knob(
        0.85, unit="", low=0.0, high=1.0, per_request=True, trades="lower: a creator's next post must be much better"
    )
    freshness_weight: float = knob(
        0.1, unit="", low=0.0, high=10.0, per_request=True, trades="higher: newer posts, less expected attention now"
    )
    epsilon: float = knob(
        0.1,
        unit="",
        low=0.0,
        high=1.0,
        per_request=True,
        trades="higher: more posts by new creators are tried, less expected attention now",
    )
    randomised_share: float = knob(
        0.0,
        unit="",
        low=0.0,
        high=1.0,
        per_request=True,
        trades="higher: more random slates, which separate position bias from relevance, and less attention",
    )
    ads: int = knob(2, unit="ads", low=0, high=50, per_request=True, trades="more: more revenue, shorter sessions")
    ad_gap: int = knob(
        6, unit="posts", low=1, high=100, per_request=True, trades="larger: fewer ads in view, longer sessions"
    )


@dataclass(frozen=True)
class ServeConfig:
    deadline_ms: float = knob(
        150.0, unit="ms", low=10, high=5000, trades="longer: fewer rejected requests, slower worst case"
    )
    feature_timeout_ms: float = knob(
        40.0, unit="ms", low=1, high=1000, trades="longer: fewer degraded responses, later fallback"
    )
    breaker_open_s: float = knob(
        1.0, unit="s", low=0.1, high=60, trades="longer: less load on a failing store, slower recovery"
    )
    workers: int = knob(2, unit="threads", low=1, high=64, trades="more: more concurrent requests, each one slower")
    queue: int = knob(32, unit="requests", low=0, high=1000, trades="longer: fewer rejected requests, longer waits")
    intake_workers: int = knob(
        4, unit="threads", low=1, high=64, trades="more: more events wait for the broker at once, more threads"
    )
    intake_queue: int = knob(
        64,
        unit="calls",
        low=0,
        high=1000,
        trades="longer: fewer rejected events while the broker is slow, longer waits",
    )
    max_body_kb: int = knob(64, unit="kB", low=1, high=1024, trades="larger: longer `seen` lists, more to parse")


@dataclass(frozen=True)
class FeedConfig:
    world: WorldConfig = WorldConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    features: FeatureConfig = FeatureConfig()
    sample: SampleConfig = SampleConfig()
    towers: TowerConfig = TowerConfig()
    light: LightConfig = LightConfig()
    heavy: HeavyConfig = HeavyConfig()
    index: IndexConfig = IndexConfig()
    retrieve: RetrieveConfig = RetrieveConfig()
    rank: RankConfig = RankConfig()
    rerank: RerankConfig = RerankConfig()
    serve: ServeConfig = ServeConfig()
    drift: DriftConfig = field(default_factory=DriftConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)

    @property
    def least_days(self) -> int:
        """Fewest days of history for a build: the holdout, and two days to learn from."""
        return self.sample.holdout_days + 2


BUDGETS = (
    Budget("p99_ms", 200.0, "ms", "at_most", "99 of 100 slates arrive within this time"),
    Budget("success_share", 0.999, "", "at_least", "share of requests that receive a slate"),
    Budget("degraded_share", 0.01, "", "at_most", "share of slates that are degraded in normal operation"),
)

SMALL = FeedConfig()
SMOKE = replace(
    SMALL,
    drift=DriftConfig(drift_window_s=60.0, retrain_cooldown_s=120.0),
    rollout=RolloutConfig(shadow_share=0.5, shadow_requests=50, canary_steps="20, 50", canary_sessions=60),
    world=WorldConfig(
        users=600,
        creators_at_start=74,
        new_creators_per_day=1,
        posts_per_day=270,
        days=6,
        sessions_per_user_day=0.8,
        # a small world needs a larger random share to give the gate enough rows
        randomised_share=0.25,
    ),
    # a retraining after minutes of traffic needs rows that join the features of these minutes
    features=FeatureConfig(live_snapshot_s=30),
    sample=SampleConfig(rows=40_000, first_day=1),
    towers=TowerConfig(tower_epochs=3, tower_batch=256),
    heavy=HeavyConfig(heavy_hidden=128, heavy_epochs=2, ranker_batch=1024),
)
MEDIUM = replace(
    SMALL,
    world=WorldConfig(users=100_000, creators_at_start=9_150, new_creators_per_day=50, posts_per_day=14_700),
)
LARGE = replace(
    SMALL,
    world=WorldConfig(
        users=1_000_000, creators_at_start=60_000, new_creators_per_day=300, posts_per_day=117_600, days=14
    ),
)

PRESETS = MappingProxyType({"smoke": SMOKE, "small": SMALL, "medium": MEDIUM, "large": LARGE})
