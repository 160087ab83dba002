"""Inputs of a request equal the training inputs of the same user, ads and page bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from ctr_prediction.domain import Context, Floats, Ints, UserFeatures
from ctr_prediction.features.views import default_user
from ctr_prediction.model.ad_inputs import FIRST_AD_NUMBER, SEEN, inputs, seen_of, seen_of_few
from ctr_prediction.model.artifact import Model
from ctr_prediction.model.inputs import AD_NUMBERS, NO_CROSS, NUMERIC, ad_numbers
from ctr_prediction.online.cache import known_of
from tests.support.ctr_events import START
from tests.support.ctr_market import (
    ADS,
    CAMPAIGNS,
    COLD,
    KNOWN,
    MODELS,
    NUMBERS,
    PAGES,
    PRIORS,
    SIDES,
    Page,
    ads_of,
    bundle,
    market,
    stats,
    user,
)

MARKET = market()


def in_training(of: Model, user_id: int, someone: UserFeatures, ads: Ints, page: Context, seen: Ints) -> Floats:
    """Return one row per impression, with its own copy of user and page, as in a training sample."""
    count = len(ads)
    return of.inputs_of(
        np.full(count, user_id),
        someone.take(np.zeros(count, np.int64)),
        ads,
        ads_of(KNOWN, KNOWN.stats).take(ads),
        Context(np.repeat(page.publisher, count), np.repeat(page.device, count), np.repeat(page.at_ts, count)),
        seen,
    )


@given(PAGES)
@settings(deadline=None, max_examples=150)
def test_auction_inputs_equal_training_inputs_bit_for_bit(
    page: Page,
) -> None:
    user_id, segment, in_audience, bidders, publisher, device, at_s, user_cross, seed = page
    someone, ads = user(segment, in_audience=in_audience, seed=seed), np.array(bidders)
    context = Context.one(publisher, device, START + at_s)
    seen, of = seen_of(someone, ads, ADS), MODELS[user_cross]
    served = inputs(of, SIDES[user_cross], ads, user_id, someone, context, seen)
    assert served.dtype == np.float32
    np.testing.assert_array_equal(served, in_training(of, user_id, someone, ads, context, seen))
    ads_alone = ads_of(KNOWN, KNOWN.stats).take(ads)
    broadcast = of.inputs_of(np.array([user_id]), someone, ads, ads_alone, context, seen)
    np.testing.assert_array_equal(served, broadcast)
    known = known_of(user_id, someone, MARKET, is_cold=False, feature_ts=0.0, read_s=0.0)
    np.testing.assert_array_equal(served, inputs(of, SIDES[user_cross], ads, user_id, someone, context, seen, known))


@given(PAGES)
@settings(deadline=None, max_examples=40)
def test_ad_inputs_do_not_depend_on_the_other_bidders(
    page: Page,
) -> None:
    user_id, segment, in_audience, bidders, publisher, device, at_s, user_cross, seed = page
    someone, ads = user(segment, in_audience=in_audience, seed=seed), np.array(bidders)
    context = Context.one(publisher, device, START + at_s)
    together = inputs(MODELS[user_cross], SIDES[user_cross], ads, user_id, someone, context, seen_of(someone, ads, ADS))
    for place, ad in enumerate(bidders):
        one = np.array([ad])
        alone = inputs(
            MODELS[user_cross], SIDES[user_cross], one, user_id, someone, context, seen_of(someone, one, ADS)
        )
        np.testing.assert_array_equal(alone[0], together[place])


@pytest.mark.parametrize(
    ("user_cross", "in_audience", "remembers"),
    [("audience", True, True), ("audience", False, False), ("all", False, True), ("none", True, False)],
)
def test_user_ad_weights_apply_only_to_users_in_the_configured_scope(
    user_cross: str, in_audience: bool, remembers: bool
) -> None:
    of, someone, ads = MODELS[user_cross], user(2, in_audience=in_audience), np.arange(6)
    context, seen = Context.one(1, 0, START), np.zeros(6, np.int64)
    without = replace(of, tables={**of.tables, "user_ad": np.zeros_like(of.tables["user_ad"])})
    mine, without_weights = (
        inputs(one, SIDES[user_cross], ads, 3, someone, context, seen)[:, -1] for one in (of, without)
    )
    added = mine - without_weights
    if remembers:
        assert len(np.unique(added.round(4))) > 3, "each pair has a weight of its own"
    else:
        np.testing.assert_allclose(added, of.tables["user_ad"][NO_CROSS, 0], atol=1e-5)


def test_cold_ad_uses_the_prior_rate_and_the_counts_of_its_campaign() -> None:
    ads, someone = np.array(COLD), user(1, in_audience=False)
    x = inputs(MODELS["none"], SIDES["none"], ads, 3, someone, Context.one(0, 0, START), np.zeros(3, np.int64))
    numbers = dict(zip(AD_NUMBERS, x[:, FIRST_AD_NUMBER : len(NUMERIC)].T, strict=True))
    assert numbers["ad_ctr_log"].tolist() == numbers["ad_looks_log"].tolist() == [0, 0, 0]
    assert (numbers["campaign_looks_log"] > 0.5).all()


def test_exposure_input_comes_from_the_row_of_the_user() -> None:
    someone = replace(default_user(), seen_ads=np.array([[5, 2, ADS + 7, -1]]), seen_counts=np.array([[3, 1, 9, 0]]))
    ads = np.array([2, 5, 6, 5])
    seen = seen_of(someone, ads, ADS)
    assert seen.tolist() == [1, 3, 0, 3], "an ad outside the snapshot does not count for ads in it"
    assert seen_of_few(someone, ads.tolist()) == seen.tolist()
    x = inputs(MODELS["all"], SIDES["all"], ads, 0, someone, Context.one(0, 0, START), seen)
    np.testing.assert_allclose(x[:, SEEN], [1, 2, 0, 2])


def test_market_view_has_the_training_numbers_and_one_side_per_model() -> None:
    of, view = bundle(), market().view
    np.testing.assert_array_equal(view.debiased.numbers, NUMBERS)
    np.testing.assert_array_equal(view.undebiased.numbers, NUMBERS)
    for side, own_model in ((view.debiased, of.debiased), (view.undebiased, of.undebiased)):
        own = own_model.tables["creative"][KNOWN.creative]
        np.testing.assert_array_equal(side.known[:, -3 - own.shape[1] : -3], own)
    assert not np.array_equal(view.debiased.segment_wide, view.undebiased.segment_wide)


def test_eligible_ads_are_started_target_the_segment_and_sort_best_first() -> None:
    view = market().view
    worth = np.log(KNOWN.bid[KNOWN.campaign]) + NUMBERS[:, 0]
    for segment, ads in enumerate(view.eligible):
        pay = [ad for ad in range(ADS) if KNOWN.targets[KNOWN.campaign[ad], segment] and ad != ADS - 1]
        assert sorted(ads.tolist()) == pay
        assert (np.diff(worth[ads]) <= 0).all()


def test_market_applies_only_newer_counts() -> None:
    shop = market()
    before = shop.view
    assert not shop.apply(stats(1, START)), "the counts are not newer"
    assert not shop.apply(stats(1, START - 1))
    fewer = replace(stats(1, START + 1), ad_clicks=np.zeros(ADS - 1, np.float32))
    assert not shop.apply(fewer), "the counts are of other ads"
    assert shop.view is before
    later = stats(1, START + 3601.0)
    assert shop.apply(later)
    np.testing.assert_array_equal(shop.view.debiased.numbers, ad_numbers(ads_of(KNOWN, later), PRIORS))
    np.testing.assert_array_equal(before.debiased.numbers, NUMBERS, "a running request keeps its view")
    assert shop.view.stats_ts == START + 3601.0
    newest = ADS - 1
    pays = KNOWN.targets[KNOWN.campaign[newest]]
    assert [newest in ads for ads in shop.view.eligible] == pays.tolist(), "the ad has started in the meantime"


def test_campaign_with_exhausted_budget_never_bids() -> None:
    view = market().view
    spent, budget = KNOWN.stats.spent, KNOWN.budget
    assert 0 < view.is_spent.sum() < CAMPAIGNS
    np.testing.assert_array_equal(view.is_spent, spent >= budget)
    assert (view.pace[view.is_spent] == 0).all()
