"""Every number of the design, one dataclass per stage.

World parameters are not knobs: they are the truth that models are measured against.
"""

from __future__ import annotations

from dataclasses import dataclass


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
