"""Configuration of the ads design, one dataclass per stage. Users may change the fields that are made by `knob`.

World parameters are not knobs, because models are measured against them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType

from infra.design import Budget, choice, knob
from infra.evaluation.drift_config import DriftConfig
from infra.evaluation.rollout_config import RolloutConfig


@dataclass(frozen=True)
class WorldConfig:
    """Size and parameters of the generated world. ADR 0012 gives the source of each number.

    Weights are in logits of p(click | examined), unless the name contains a unit.
    """

    seed: int = 11
    start: str = "2026-01-05T00:00:00+00:00"
    days: int = 14
    users: int = 20_000
    segments: int = 64
    publishers: int = 40
    campaigns: int = 300
    ads_per_campaign: int = 5
    creatives_per_campaign: int = 2
    new_ads_per_day: int = 15
    """ads that start on each day of the history, without any history of their own"""
    requests_per_day: int = 50_000
    slots: tuple[int, ...] = (2, 3, 4)
    """possible numbers of slots per page; all pages of a publisher have the same number"""
    targeted_segments: int = 16
    """segments that a campaign targets"""
    pool_size: int = 40
    """eligible ads that the logging policy draws at random for each auction"""
    randomised_share: float = 0.05
    """share of requests that the logging policy fills uniformly at random; evaluation uses these requests"""

    click_bias: float = -4.05
    latent_size: int = 6
    latent_click: float = 0.5
    """sd of the affinity of a segment and a creative; it is smooth, so it can be learned from other pairs"""
    cross_share: float = 0.02
    """share of the targeted pairs of segment and ad with an effect of their own"""
    cross_click: float = 1.6
    """that effect; embeddings cannot predict which pairs have it, only the history of a pair can"""
    retargeted_share: float = 0.06
    """share of users that have visited an advertiser's shop"""
    retargeted_ads: int = 3
    retargeted_click: float = 2.2
    """effect for each pair of such a user and one of the retargeting ads"""
    publisher_click: float = 0.3
    """sd over publishers"""
    ad_click: float = 0.4
    """sd over ads"""
    user_click: float = 0.5
    """sd over users: some users click more on every ad"""
    device_click: tuple[float, ...] = (0.2, 0.0, -0.2)
    age_click: float = 0.08
    """added per age band, relative to the middle of the bands"""
    hour_click: float = 0.35
    """amplitude over the day; each segment has its own best hour"""
    wear_out: float = 0.3
    """subtracted per log2(1 + number of earlier impressions of the ad by the user): ad fatigue"""
    drift_deg_per_day: float = 1.0
    """rotation of every segment's taste vector"""
    examination_decay: float = 0.8
    """a user examines slot s (from 0) with probability (1 + s) ** -decay"""

    slow_share: float = 0.3
    """share of clicks with a slow report"""
    fast_delay_s: float = 30.0
    slow_delay_s: float = 4 * 3600.0

    bid_median: float = 0.6
    """per click, in money"""
    bid_spread: float = 0.5
    """sd of the logarithm of a bid"""
    budget_clicks: float = 25.0
    """median daily budget of a campaign, in clicks at its bid"""
    budget_spread: float = 0.8
    reserve: float = 0.002
    """minimum expected revenue of a shown impression, in money"""
    policy_noise: float = 0.35
    """scale of the noise in the logging policy's ranking, in logs of expected revenue; off-policy learning needs it"""

    @property
    def ads(self) -> int:
        """Number of ads that have started by the end of the history."""
        return self.campaigns * self.ads_per_campaign + self.new_ads_per_day * self.days

    @property
    def creatives(self) -> int:
        return self.campaigns * self.creatives_per_campaign


@dataclass(frozen=True)
class FeatureConfig:
    window_days: int = knob(14, unit="days", low=1, high=28, trades="longer: less noise, slower to follow a change")
    ad_snapshot_h: int = knob(
        6, unit="h", low=1, high=24, trades="shorter: fresher counts of ads, more rows to compute and join"
    )
    exposures: int = knob(
        128, unit="ads", low=8, high=1000, trades="more: fatigue and frequency caps of rarer ads too, larger rows"
    )
    ttl_h: float = knob(48.0, unit="h", low=1.0, high=720.0, trades="longer: fewer degraded responses, older features")


@dataclass(frozen=True)
class SampleConfig:
    negative_share: float = knob(
        0.1,
        unit="",
        low=0.01,
        high=1.0,
        trades="higher: more negatives in training, slightly better models, longer builds",
    )
    imbalance: str = choice(
        "sample",
        ("sample", "weight"),
        trades="sample: the loss corrects for dropped negatives; weight: kept negatives have a larger weight",
    )
    first_day: int = knob(
        0, unit="day", low=0, high=28, trades="later: fuller user histories, as in serving, but fewer rows"
    )
    holdout_rows: int = knob(60_000, unit="rows", low=1000, high=10_000_000, trades="more: tighter intervals, slower")
    attribution_s: float = knob(
        120.0,
        unit="s",
        low=1.0,
        high=604_800.0,
        trades="longer: the gate's fresh rows miss fewer late clicks, but the newest rows are too young for the gate",
    )
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
class ModelConfig:
    cross_bits: int = knob(18, unit="bits", low=8, high=24, trades="more: fewer crosses share a weight, a larger table")
    user_cross: str = choice(
        "audience",
        ("audience", "all", "none"),
        trades="all: a weight per pair of user and ad, mostly noise; audience: only for retargeted users",
    )
    hidden: int = knob(128, unit="", low=8, high=2048, trades="larger: more capacity, more milliseconds per ad")
    epochs: int = knob(5, unit="", low=1, high=50, trades="more: better fit until it overfits, longer builds")
    batch: int = knob(1024, unit="rows", low=64, high=65536, trades="larger: faster epochs, fewer updates")
    student_hidden: int = knob(6, unit="", low=2, high=512, trades="larger: closer to the teacher, slower")


@dataclass(frozen=True)
class CalibrationConfig:
    calibration: str = choice(
        "platt",
        ("platt", "isotonic", "none"),
        trades="platt: two parameters, little noise; isotonic: any monotone curve, with the noise of one day's clicks",
    )


@dataclass(frozen=True)
class TargetConfig:
    eligible_limit: int = knob(
        300, unit="ads", low=1, high=5000, per_request=True, trades="more: fewer good ads missed, more milliseconds"
    )


@dataclass(frozen=True)
class PredictConfig:
    model: str = choice(
        "student",
        ("student", "teacher"),
        per_request=True,
        trades="teacher: the network that the student was distilled from, slightly better and much slower",
    )
    calibrated: str = choice(
        "yes",
        ("yes", "no", "no_recalibration"),
        per_request=True,
        trades="no: raw network output; no_recalibration: probabilities of the sample, ten times too high",
    )
    position: str = choice(
        "debiased",
        ("debiased", "naive"),
        per_request=True,
        trades="naive: a model without position debiasing, which overestimates ads that were shown in high slots",
    )


@dataclass(frozen=True)
class AuctionConfig:
    reserve_cpm: float = knob(
        2.0,
        unit="money per 1,000",
        low=0.0,
        high=1000.0,
        per_request=True,
        trades="higher: higher prices per impression, and more empty slots",
    )
    pricing: str = choice(
        "second",
        ("second", "first"),
        per_request=True,
        trades="first: winners pay their bids; real advertisers would then bid less, but bids here do not change",
    )
    pacing: str = choice(
        "even",
        ("even", "none"),
        per_request=True,
        trades="none: campaigns spend their budgets early in the day, and the evening has few bidders",
    )
    frequency_cap: int = knob(
        5,
        unit="per day",
        low=1,
        high=1000,
        per_request=True,
        trades="higher: more impressions of the best ad, and more fatigue",
    )
    randomised_share: float = knob(
        0.0,
        unit="",
        low=0.0,
        high=1.0,
        per_request=True,
        trades="higher: more random slates, which separate position bias from relevance, and less revenue",
    )


@dataclass(frozen=True)
class CacheConfig:
    cache_ttl_s: float = knob(
        60.0,
        unit="s",
        low=0.0,
        high=3600.0,
        trades="longer: fewer reads of the store, older features and frequency caps that lag",
    )
    cache_users: int = knob(
        20_000, unit="users", low=1, high=10_000_000, trades="more: fewer reads of the store, more memory"
    )


@dataclass(frozen=True)
class ServeConfig:
    deadline_ms: float = knob(
        100.0, unit="ms", low=5, high=5000, trades="longer: fewer rejected requests, slower worst case"
    )
    feature_timeout_ms: float = knob(
        20.0, unit="ms", low=1, high=1000, trades="longer: fewer degraded responses, later fallback"
    )
    breaker_open_s: float = knob(
        1.0, unit="s", low=0.1, high=60, trades="longer: less load on a failing store, slower recovery"
    )
    workers: int = knob(2, unit="threads", low=1, high=64, trades="more: more concurrent requests, each one slower")
    queue: int = knob(64, unit="requests", low=0, high=1000, trades="longer: fewer rejected requests, longer waits")
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
    max_body_kb: int = knob(64, unit="kB", low=1, high=1024, trades="larger: longer lists of ads, more to parse")


@dataclass(frozen=True)
class CtrConfig:
    world: WorldConfig = WorldConfig()
    features: FeatureConfig = FeatureConfig()
    sample: SampleConfig = SampleConfig()
    model: ModelConfig = ModelConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    target: TargetConfig = TargetConfig()
    predict: PredictConfig = PredictConfig()
    auction: AuctionConfig = AuctionConfig()
    cache: CacheConfig = CacheConfig()
    serve: ServeConfig = ServeConfig()
    drift: DriftConfig = field(default_factory=DriftConfig)
    rollout: RolloutConfig = field(default_factory=RolloutConfig)

    @property
    def least_days(self) -> int:
        """Fewest days of history for a build: the holdout, the calibration, and two days to learn from."""
        return 4


BUDGETS = (
    Budget("p99_ms", 10.0, "ms", "at_most", "99 of 100 auctions finish within this time"),
    Budget("success_share", 0.999, "", "at_least", "share of requests that receive an auction"),
    Budget("degraded_share", 0.01, "", "at_most", "share of auctions that are degraded in normal operation"),
)

SMALL = CtrConfig()
SMOKE = replace(
    SMALL,
    drift=DriftConfig(drift_window_s=60.0, retrain_cooldown_s=120.0),
    rollout=RolloutConfig(shadow_share=0.5, shadow_requests=50, canary_steps="20, 50", canary_sessions=60),
    world=WorldConfig(
        users=600,
        segments=8,
        publishers=10,
        campaigns=40,
        new_ads_per_day=3,
        targeted_segments=4,
        # simulated users open more pages in an hour than in a day of the history: no budget may end that soon
        budget_clicks=250.0,
        requests_per_day=10_000,
        days=6,
        # a small world needs a larger random share to give the gate enough rows
        randomised_share=0.2,
    ),
    sample=SampleConfig(holdout_rows=30_000),
    model=ModelConfig(cross_bits=14, hidden=64, batch=1024),
)
MEDIUM = replace(
    SMALL,
    world=WorldConfig(users=100_000, campaigns=1_000, new_ads_per_day=50, requests_per_day=250_000),
)
LARGE = replace(
    SMALL,
    world=WorldConfig(users=500_000, campaigns=3_000, new_ads_per_day=150, requests_per_day=1_270_000),
    model=ModelConfig(cross_bits=21),
)

PRESETS = MappingProxyType({"smoke": SMOKE, "small": SMALL, "medium": MEDIUM, "large": LARGE})
