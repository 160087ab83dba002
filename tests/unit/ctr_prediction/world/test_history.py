"""The generated ads history is deterministic by seed, with exact propensities and prices."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctr_prediction.config import WorldConfig
from ctr_prediction.domain import NONE, RANDOM_POLICY
from ctr_prediction.world.exposures import Exposures
from ctr_prediction.world.oracle import Context, Oracle
from ctr_prediction.world.policy import Eligible, Standing, auction, draw_pool
from ctr_prediction.world.truth import make_world
from tests.support.ctr_log import CONFIG, log, log_days, world

TINY = replace(CONFIG, users=300, days=2, requests_per_day=600)


def test_same_seed_reproduces_the_log_and_another_seed_changes_it() -> None:
    first, again, other = (
        [table for _, table in log_days(make_world(config))] for config in (TINY, TINY, replace(TINY, seed=12))
    )
    assert all(one.equals(two) for one, two in zip(first, again, strict=True))
    assert not first[0].equals(other[0])


def test_additional_day_leaves_earlier_days_unchanged() -> None:
    longer = [table for _, table in log_days(make_world(replace(TINY, days=3)))]
    shorter = [table for _, table in log_days(make_world(TINY))]
    assert all(one.equals(two) for one, two in zip(longer, shorter, strict=False))
    assert (len(longer), len(shorter)) == (3, 2)


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=12), max_size=6), st.integers(0, 5))
def test_exposures_match_a_counter(batches: list[list[tuple[int, int]]], day_ends_after: int) -> None:
    exposures, expected = Exposures(4), Counter[tuple[int, int]]()
    for number, batch in enumerate(batches):
        pairs = np.array(batch, np.int64).reshape(-1, 2)
        seen = exposures.show(pairs[:, 0], pairs[:, 1])
        for pair, found in zip(batch, seen.tolist(), strict=True):
            assert found == expected[pair]
            expected[pair] += 1
        if number == day_ends_after:
            exposures.end_day()


def test_random_bucket_has_the_configured_share_and_uniform_propensities() -> None:
    shown = log()
    is_random = shown["policy"] == RANDOM_POLICY
    assert is_random[shown["slot"] == 0].mean() == pytest.approx(CONFIG.randomised_share, abs=0.01)
    first = is_random & (shown["slot"] == 0)
    choices = 1 / shown["propensity"][first]
    np.testing.assert_allclose(choices, np.round(choices), rtol=1e-4)  # bidders are equally likely
    assert choices.max() <= CONFIG.pool_size + CONFIG.retargeted_ads
    assert np.median(choices) > 10


def test_price_is_at_most_the_bid_and_a_page_has_no_duplicate_ads() -> None:
    shown = log()
    assert (shown["price"] <= shown["bid"] * (1 + 1e-6)).all()
    assert (shown["price"] > 0).all()
    assert ((shown["propensity"] > 0) & (shown["propensity"] <= 1)).all()
    page = shown["request_ts"] * 1e6 + shown["user_id"] * 7
    pairs = np.stack([page, shown["ad_id"].astype(float)])
    assert len(np.unique(pairs, axis=1).T) == len(page)
    assert (shown["slot"] < shown["slots"]).all()


def test_ads_are_shown_only_to_targeted_segments_or_retargeted_users() -> None:
    shown, truth = log(), world()
    is_targeted = truth.campaigns.targets[shown["campaign_id"], shown["segment"]]
    follows = truth.retargeting.is_retargeted(shown["user_id"], shown["ad_id"])
    assert (is_targeted | follows).all()
    assert (~is_targeted & follows).any()


def test_auction_without_active_campaigns_leaves_every_slot_empty() -> None:
    truth, rng = world(), np.random.default_rng(1)
    pool = draw_pool(truth, rng, np.arange(20), Eligible.of(truth), CONFIG.ads)
    nothing = np.zeros(CONFIG.ads)
    everyone = np.ones(CONFIG.campaigns, bool)
    drawn = auction(truth, rng, pool, Standing(nothing, nothing), everyone, np.zeros(20, bool))
    assert (drawn.ads == NONE).all()


def test_oracle_click_probability_matches_the_logged_clicks() -> None:
    shown = log()
    context = Context(shown["publisher_id"], shown["device"], shown["request_ts"], shown["seen"])
    p = Oracle(world()).p_click(shown["user_id"], shown["ad_id"], context, shown["slot"])
    clicks = shown["clicked"].sum()
    assert clicks == pytest.approx(p.sum(), abs=4 * np.sqrt(p.sum()))


def test_default_click_rate_is_about_two_percent() -> None:
    config = WorldConfig(days=1, requests_per_day=20_000)
    ((_, table),) = log_days(make_world(config))
    assert 0.015 < float(np.mean(table["clicked"].to_numpy(zero_copy_only=False))) < 0.025
