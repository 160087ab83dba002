"""Every number of the design, one dataclass per stage. A field made by `knob` can be turned.

World parameters are not knobs: they are the truth that models are measured against.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType

from infra.design import Budget, choice, knob


@dataclass(frozen=True)
class WorldConfig:
    """Size and truth of the generated world; ADR 0012 says where each number comes from.

    Weights are in logits of the probability that an ad that is looked at is clicked, unless a unit stands in the name.
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
    """that start in the history, cold"""
    requests_per_day: int = 50_000
    slots: tuple[int, ...] = (2, 3, 4)
    """how many a page has; a publisher's pages are alike"""
    targeted_segments: int = 16
    """that a campaign pays for"""
    pool_size: int = 40
    """eligible ads that the old system bids for, by chance"""
    randomised_share: float = 0.05
    """share of requests that are filled uniformly at random; evaluation happens there"""

    click_bias: float = -4.05
    latent_size: int = 6
    latent_click: float = 0.5
    """one sd of the fit of a segment and a creative: smooth, so that it can be learned from other pairs"""
    cross_share: float = 0.02
    """share of the targeted pairs of segment and ad that have something of their own"""
    cross_click: float = 1.6
    """and what: no vector says which pairs, so only their own history does"""
    retargeted_share: float = 0.06
    """share of users who have been at an advertiser's"""
    retargeted_ads: int = 3
    retargeted_click: float = 2.2
    """for each of these, the ads that follow them around"""
    publisher_click: float = 0.3
    """sd over publishers"""
    ad_click: float = 0.4
    """sd over ads"""
    user_click: float = 0.5
    """sd over users: some click at everything"""
    device_click: tuple[float, ...] = (0.2, 0.0, -0.2)
    age_click: float = 0.08
    """added per age band from the middle"""
    hour_click: float = 0.35
    """swing over the day, whose best hour is each segment's own"""
    wear_out: float = 0.3
    """taken off for log2(1 + times that the user was shown this ad)"""
    drift_deg_per_day: float = 1.0
    """by which every segment's taste turns"""
    examination_decay: float = 0.8
    """slot s (from 0) is looked at with probability (1 + s) ** -decay"""

    slow_share: float = 0.3
    """share of clicks that are reported late"""
    fast_delay_s: float = 30.0
    slow_delay_s: float = 4 * 3600.0

    bid_median: float = 0.6
    """per click, in money"""
    bid_spread: float = 0.5
    """sd of its logarithm"""
    budget_clicks: float = 25.0
    """a campaign's median budget for a day, in clicks at its bid"""
    budget_spread: float = 0.8
    reserve: float = 0.002
    """lowest expected revenue of an impression that is shown, in money"""
    policy_noise: float = 0.35
    """of the old system's ranking, in logs of expected revenue: without it nothing could be learned from its log"""

    @property
    def ads(self) -> int:
        """That have started by the end of the history."""
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
        128, unit="ads", low=8, high=1000, trades="more: wear-out and caps of rarer ads too, in a larger row"
    )
    ttl_h: float = knob(48.0, unit="h", low=1.0, high=720.0, trades="longer: fewer degraded answers, older features")


@dataclass(frozen=True)
class SampleConfig:
    negative_share: float = knob(
        0.1, unit="", low=0.01, high=1.0, trades="higher: all that was not clicked teaches a little, and takes time"
    )
    imbalance: str = choice(
        "sample",
        ("sample", "weight"),
        trades="sample: the loss knows what was left out; weight: what is kept counts for what was left out",
    )
    first_day: int = knob(
        0, unit="day", low=0, high=28, trades="later: histories are fuller, as they are in serving; fewer rows"
    )
    holdout_rows: int = knob(60_000, unit="rows", low=1000, high=10_000_000, trades="more: tighter intervals, slower")


@dataclass(frozen=True)
class ModelConfig:
    cross_bits: int = knob(18, unit="bits", low=8, high=24, trades="more: fewer crosses share a weight, a larger table")
    user_cross: str = choice(
        "audience",
        ("audience", "all", "none"),
        trades="all: everyone's pairs with ads are remembered, and most of that is noise; audience: retargeted users'",
    )
    hidden: int = knob(128, unit="", low=8, high=2048, trades="larger: more capacity, more milliseconds per ad")
    epochs: int = knob(5, unit="", low=1, high=50, trades="more: better fit until it overfits, longer builds")
    batch: int = knob(1024, unit="rows", low=64, high=65536, trades="larger: faster epochs, fewer updates")
    student_hidden: int = knob(6, unit="", low=2, high=512, trades="larger: nearer to the teacher, slower")


@dataclass(frozen=True)
class CalibrationConfig:
    calibration: str = choice(
        "platt",
        ("platt", "isotonic", "none"),
        trades="platt: two numbers, hard to fool; isotonic: any monotone curve, with the noise of one day's clicks",
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
        trades="teacher: the network that the student was taught by, a little better and much slower",
    )
    calibrated: str = choice(
        "yes",
        ("yes", "no", "no_recalibration"),
        per_request=True,
        trades="no: what the network says; no_recalibration: as if the sample were the world, ten times too high",
    )
    position: str = choice(
        "debiased",
        ("debiased", "naive"),
        per_request=True,
        trades="naive: a model that never heard of slots, and takes a high place for a good ad",
    )


@dataclass(frozen=True)
class AuctionConfig:
    reserve_cpm: float = knob(
        2.0,
        unit="money per 1,000",
        low=0.0,
        high=1000.0,
        per_request=True,
        trades="higher: dearer impressions, and more slots that stay empty",
    )
    pricing: str = choice(
        "second",
        ("second", "first"),
        per_request=True,
        trades="first: everyone pays their bid, until they bid less, which nobody here does",
    )
    pacing: str = choice(
        "even",
        ("even", "none"),
        per_request=True,
        trades="none: budgets are spent as fast as traffic comes, and the evening has few bidders",
    )
    frequency_cap: int = knob(
        5, unit="per day", low=1, high=1000, per_request=True, trades="higher: more of the best ad, worn out sooner"
    )
    randomised_share: float = knob(
        0.0,
        unit="",
        low=0.0,
        high=1.0,
        per_request=True,
        trades="higher: more slates drawn by chance, which tell position from relevance, and less revenue",
    )


@dataclass(frozen=True)
class CacheConfig:
    cache_ttl_s: float = knob(
        60.0, unit="s", low=0.0, high=3600.0, trades="longer: fewer reads of the store, older features and later caps"
    )
    cache_users: int = knob(
        20_000, unit="users", low=1, high=10_000_000, trades="more: fewer reads of the store, more memory"
    )


@dataclass(frozen=True)
class ServeConfig:
    deadline_ms: float = knob(
        100.0, unit="ms", low=5, high=5000, trades="longer: fewer refusals of late requests, slower worst case"
    )
    feature_timeout_ms: float = knob(
        20.0, unit="ms", low=1, high=1000, trades="longer: fewer degraded answers, later fallback"
    )
    breaker_open_s: float = knob(
        1.0, unit="s", low=0.1, high=60, trades="longer: less load on a sick store, slower recovery"
    )
    workers: int = knob(2, unit="threads", low=1, high=64, trades="more: more requests at once, each one slower")
    queue: int = knob(64, unit="requests", low=0, high=1000, trades="longer: fewer refusals, longer waits")
    intake_workers: int = knob(
        4, unit="threads", low=1, high=64, trades="more: more events wait for the broker at once, more threads"
    )
    intake_queue: int = knob(
        64, unit="calls", low=0, high=1000, trades="longer: fewer refused events while the broker is slow, longer waits"
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


BUDGETS = (
    Budget("p99_ms", 10.0, "ms", "at_most", "99 of 100 auctions are held within this time"),
    Budget("success_share", 0.999, "", "at_least", "share of requests answered with an auction"),
    Budget("degraded_share", 0.01, "", "at_most", "share of auctions without a part, in normal operation"),
)

SMALL = CtrConfig()
SMOKE = replace(
    SMALL,
    world=WorldConfig(
        users=600,
        segments=8,
        publishers=10,
        campaigns=40,
        new_ads_per_day=3,
        targeted_segments=4,
        requests_per_day=10_000,
        days=6,
        # a small world needs a larger random share before a gate can tell anything
        randomised_share=0.2,
    ),
    sample=SampleConfig(holdout_rows=30_000),
    model=ModelConfig(cross_bits=14, hidden=64, batch=1024),
)
LARGE = replace(
    SMALL,
    world=WorldConfig(users=500_000, campaigns=3_000, new_ads_per_day=150, requests_per_day=1_270_000),
    model=ModelConfig(cross_bits=21),
)

PRESETS = MappingProxyType({"smoke": SMOKE, "small": SMALL, "large": LARGE})
