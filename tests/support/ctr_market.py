"""A small ads market and an untrained model, for tests of the data that requests read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from ctr_prediction.domain import SLOTS, AdFeatures, Floats, UserFeatures
from ctr_prediction.features.views import default_user
from ctr_prediction.items.catalog import Market
from ctr_prediction.items.live_counts import LiveStats
from ctr_prediction.items.snapshot import Snapshot
from ctr_prediction.model.ad_inputs import AdSide
from ctr_prediction.model.artifact import Bundle, Model, Network
from ctr_prediction.model.calibration import Curve
from ctr_prediction.model.inputs import DEEP, WIDE, Priors, ad_numbers
from ctr_prediction.model.student import Student
from tests.support.ctr_events import START

USERS, SEGMENTS, PUBLISHERS, ADS, CAMPAIGNS, CREATIVES, BITS = 20, 6, 5, 30, 8, 12, 9
COLD = (27, 28, 29)
"""Ads without impressions. The last ad has not started."""
PRIORS = Priors(0.02, (1.0, 0.5, 0.25, 0.125))
"""Priors with examination probabilities whose floating-point sums are exact in any order."""
ROWS = {
    "user": (USERS, 2), "segment": (SEGMENTS, 8), "clock": (SEGMENTS, 2), "publisher": (PUBLISHERS, 4),
    "ad": (ADS, 4), "campaign": (CAMPAIGNS, 4), "creative": (CREATIVES, 8), **dict.fromkeys(WIDE, (2**BITS, 1)),
}  # fmt: skip

USER_CROSSES = ("audience", "all", "none")
PAGES = st.tuples(
    st.integers(0, USERS + 3),  # some users have no vector
    st.integers(0, SEGMENTS),  # the last segment is in no table
    st.booleans(),
    st.lists(st.integers(0, ADS - 1), min_size=1, max_size=12),
    st.integers(0, PUBLISHERS + 1),
    st.integers(0, 2),
    st.floats(0, 3 * 86_400.0),
    st.sampled_from(USER_CROSSES),
    st.integers(0, 50),
)
Page = tuple[int, int, bool, list[int], int, int, float, str, int]
"""Fields: user, segment, is the user in an audience, bidding ads, publisher, device, seconds, `user_cross`, seed."""


def model(user_cross: str = "audience", seed: int = 0) -> Model:
    rng = np.random.default_rng(seed)
    tables = {name: rng.normal(size=ROWS[name]).astype(np.float32) for name in (*DEEP, *WIDE)}
    looks = np.array([1.0, 0.6, 0.4, 0.3], np.float32)
    return Model(tables, looks, PRIORS, BITS, user_cross)


def bundle(user_cross: str = "audience") -> Bundle:
    """Return a bundle whose networks use only the wide sum."""

    def network(x: Floats) -> Floats:
        return x[:, -1] - np.float32(3)

    networks: dict[str, Network] = {"student": network, "teacher": network, "naive": network}
    curves = {name: Curve("none", (), ()) for name in networks}
    return Bundle(
        model(user_cross), model(user_cross, 1), **networks, curves=curves, negative_rate=0.1, meta={}, digest="d"
    )


def student(inputs: int, seed: int = 0) -> Student:
    """Return an untrained student with three hidden units and a linear part."""
    rng = np.random.default_rng([seed, 4])
    weights = rng.normal(0, 0.2, (inputs, 4)).astype(np.float32)
    return Student(
        first=np.concatenate([weights, -weights[:, -1:]], axis=1),
        bias=np.array([0.1, -0.2, 0.3, -3.0, 3.0], np.float32),
        last=np.array([0.5, -0.4, 0.3, 1.0, -1.0], np.float32),
    )


def stats(seed: int = 0, stats_ts: float = START) -> LiveStats:
    rng = np.random.default_rng([seed, 1])
    shown = rng.integers(0, 3000, (ADS, SLOTS)).astype(np.float32)
    shown[list(COLD)] = 0
    clicks = np.floor(shown.sum(axis=1) * rng.uniform(0, 0.05, ADS)).astype(np.float32)
    campaign = np.arange(ADS) % CAMPAIGNS
    of = (campaign[:, None] == np.arange(CAMPAIGNS)).astype(np.float32)
    spent = rng.uniform(0, 12, CAMPAIGNS)
    return LiveStats(stats_ts, shown, clicks, of.T @ shown, of.T @ clicks, spent)


def snapshot(seed: int = 0) -> Snapshot:
    rng = np.random.default_rng([seed, 2])
    start_ts = np.full(ADS, START - 1e6)
    start_ts[-1] = START + 3600.0
    return Snapshot(
        campaign=np.arange(ADS) % CAMPAIGNS,
        creative=rng.integers(0, CREATIVES, ADS),
        start_ts=start_ts,
        bid=rng.uniform(0.2, 1.5, CAMPAIGNS),
        budget=np.full(CAMPAIGNS, 10.0),
        targets=rng.random((CAMPAIGNS, SEGMENTS)) < 0.6,
        user_segment=np.arange(USERS) % SEGMENTS,
        hourly=np.full(24, 1 / 24),
        stats=stats(seed),
        meta={},
    )


def market(user_cross: str = "audience") -> Market:
    return Market(snapshot(), bundle(user_cross))


def ads_of(known: Snapshot, counted: LiveStats) -> AdFeatures:
    """Return the features of all ads as the training join computes them."""
    campaign = known.campaign
    return AdFeatures(
        campaign,
        known.creative,
        counted.ad_shown,
        counted.ad_clicks,
        counted.campaign_shown[campaign],
        counted.campaign_clicks[campaign],
    )


def user(segment: int, *, in_audience: bool, seed: int = 0) -> UserFeatures:
    """Return a user with impressions of the ads 0 to 9, some of them repeated."""
    rng = np.random.default_rng([seed, 3])
    seen = rng.integers(1, 9, (1, 10))
    return replace(
        default_user(segment),
        age=rng.integers(0, 6, 1),
        gender=rng.integers(0, 3, 1),
        audience=np.array([[4, 11, -1]] if in_audience else [[-1]], np.int64),
        shown=rng.integers(0, 50, (1, SLOTS)).astype(np.float32),
        clicks=rng.integers(0, 5, 1).astype(np.float32),
        seen_ads=rng.permutation(10)[None, :].astype(np.int64),
        seen_counts=seen,
        seen_today=seen // 2,
    )


KNOWN = snapshot()
MODELS = {user_cross: model(user_cross) for user_cross in USER_CROSSES}
NUMBERS = ad_numbers(ads_of(KNOWN, KNOWN.stats), PRIORS)
SIDES = {
    user_cross: AdSide.of(MODELS[user_cross], np.arange(ADS), KNOWN.campaign, KNOWN.creative, NUMBERS)
    for user_cross in USER_CROSSES
}
