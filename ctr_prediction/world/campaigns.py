"""Publishers with their pages, and campaigns with ads, creatives, bids, budgets and targeted segments.

Lessons: **cold ads** start every day without a click history. **Budgets** run out, so evening auctions lack the bidders
that would earn most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctr_prediction.config import WorldConfig
from ctr_prediction.domain import Array, Ints
from infra.columns import DAY_S
from infra.simulation.streams import start_ts, stream

OLDEST_DAYS = 60


@dataclass(frozen=True)
class Publishers:
    """`slots` int64[publishers] per page; `traffic` float64[publishers] sums to 1; `leaning` float64[publishers], in
    logits."""

    slots: Ints
    traffic: Array
    leaning: Array


@dataclass(frozen=True)
class Campaigns:
    """`bid` float64[campaigns], money per click; `budget` float64[campaigns], money per day; `targets`
    bool[campaigns, segments]."""

    bid: Array
    budget: Array
    targets: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Ads:
    """Ads ordered by start, all arrays [ads]: `campaign` and `creative` int64; `start_ts` float64; `leaning` float64,
    in logits."""

    campaign: Ints
    creative: Ints
    start_ts: Array
    leaning: Array


def make_publishers(config: WorldConfig) -> Publishers:
    rng = stream(config.seed, "publishers")
    traffic = rng.gamma(0.8, 1.0, config.publishers) + 0.05
    return Publishers(
        slots=rng.choice(config.slots, config.publishers).astype(np.int64),
        traffic=traffic / traffic.sum(),
        leaning=rng.normal(0.0, config.publisher_click, config.publishers),
    )


def make_campaigns(config: WorldConfig) -> Campaigns:
    rng = stream(config.seed, "campaigns")
    bid = config.bid_median * np.exp(rng.normal(0.0, config.bid_spread, config.campaigns))
    clicks = config.budget_clicks * np.exp(rng.normal(0.0, config.budget_spread, config.campaigns))
    drawn = rng.random((config.campaigns, config.segments)).argsort(axis=1)
    return Campaigns(bid=bid, budget=bid * clicks, targets=drawn < config.targeted_segments)


def make_ads(config: WorldConfig) -> Ads:
    """The initial ads, then the ads that start each day. Each day has its own random stream."""
    rng = stream(config.seed, "ads")
    count = config.campaigns * config.ads_per_campaign
    before = np.sort(start_ts(config) - rng.uniform(1, OLDEST_DAYS, count) * DAY_S)
    parts = [_draw_ads(rng, config, np.floor(before), rng.permutation(count) // config.ads_per_campaign)]
    for day in range(config.days):
        rng = stream(config.seed, "ads", day)
        midnight = np.full(config.new_ads_per_day, start_ts(config, day))
        parts.append(_draw_ads(rng, config, midnight, rng.integers(0, config.campaigns, config.new_ads_per_day)))
    return Ads(*(np.concatenate([getattr(part, name) for part in parts]) for name in Ads.__annotations__))


def _draw_ads(rng: np.random.Generator, config: WorldConfig, starts: Array, campaign: Ints) -> Ads:
    own = rng.integers(0, config.creatives_per_campaign, len(starts))
    return Ads(
        campaign=campaign,
        creative=campaign * config.creatives_per_campaign + own,
        start_ts=starts,
        leaning=rng.normal(0.0, config.ad_click, len(starts)),
    )
