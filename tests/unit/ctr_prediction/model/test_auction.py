"""The auction ranks bidders, sets prices, draws randomised pages, and paces budgets."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ctr_prediction.config import AuctionConfig, PredictConfig, TargetConfig
from ctr_prediction.domain import SLOTS, AdQuery, Context
from ctr_prediction.features.views import default_user
from ctr_prediction.model.auction import PACING_SLACK, Held, best, chance, day_passed, drawn_below, pace, run_auction
from ctr_prediction.online.target import FrequencyCapFilter
from infra.pipeline.candidates import Candidates
from infra.resilience.deadline import Deadline
from tests.support.ctr_events import START

LOOKS = np.array([1.0, 0.6, 0.4, 0.3], np.float32)


@dataclass(frozen=True)
class Bidders:
    p: npt.NDArray[np.float32]
    bids: npt.NDArray[np.float64]
    slots: int
    reserve: float

    @property
    def score(self) -> npt.NDArray[np.float64]:
        return self.bids * self.p

    def hold(self, pricing: str = "second") -> Held:
        return run_auction(self.p, self.bids, LOOKS, self.slots, self.reserve, pricing, 0, uniform=False)

    def with_bid(self, place: int, bid: float) -> Bidders:
        bids = self.bids.copy()
        bids[place] = bid
        return replace(self, bids=bids)


def bidders(reserves: st.SearchStrategy[float]) -> st.SearchStrategy[Bidders]:
    """Up to ten bidders; bids and probabilities come from few values, so that scores can tie."""
    of = st.tuples(
        st.sampled_from([0.001, 0.005, 0.01, 0.02, 0.05, 0.3]) | st.floats(0.001, 0.5),
        st.sampled_from([0.25, 0.5, 1.0]) | st.floats(0.05, 3.0),
    )
    lists = st.lists(of, min_size=1, max_size=10)
    return st.builds(
        lambda rows, slots, reserve: Bidders(
            np.array([p for p, _ in rows], np.float32), np.array([bid for _, bid in rows]), slots, reserve
        ),
        lists,
        st.integers(1, SLOTS),
        reserves,
    )


ANY = bidders(st.sampled_from([0.0, 0.0005, 0.002, 0.01]))
FREE = bidders(st.just(0.0))


@given(ANY)
@settings(deadline=None, max_examples=200)
def test_auction_ranks_by_bid_times_probability_and_applies_the_reserve(some: Bidders) -> None:
    held, score = some.hold(), some.score
    count = len(held.chosen)
    assert len(set(held.chosen.tolist())) == count <= min(some.slots, len(score))
    assert (np.diff(score[held.chosen]) <= 0).all()
    left = np.delete(score, held.chosen)
    assert not count or not len(left) or left.max() <= score[held.chosen].min()
    assert (LOOKS[:count] * score[held.chosen] >= some.reserve).all()
    if count < min(some.slots, len(score)):
        assert LOOKS[count] * left.max() < some.reserve, "a slot is empty only if no bidder meets the reserve"
    assert (held.propensity == 1).all()


@given(ANY)
@settings(deadline=None, max_examples=200)
def test_price_is_at_most_the_bid_and_covers_the_reserve(some: Bidders) -> None:
    held, looks = some.hold(), LOOKS[: len(some.hold().chosen)]
    assert (held.price <= some.bids[held.chosen]).all()
    assert (held.price >= 0).all()
    earned = held.price * some.p[held.chosen] * looks
    assert (earned >= some.reserve * (1 - 1e-6)).all()
    assert (np.diff(held.price * some.p[held.chosen]) <= 1e-9).all(), "a higher position pays no less per look"


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 2), max_size=12), st.integers(0, 6))
@settings(deadline=None, max_examples=100)
def test_best_matches_a_stable_sort(score: list[float], count: int) -> None:
    values = np.array(score, np.float64)
    places, found = best(values, count)
    order = np.argsort(-values, kind="stable")[:count]
    assert (places, found) == (order.tolist(), values[order].tolist())
    assert values.tolist() == score, "the input is unchanged"


def place_of(held: Held, bidder: int) -> int:
    """Return the slot of a bidder, or 99 without a slot."""
    return held.chosen.tolist().index(bidder) if bidder in held.chosen else 99


@given(ANY)
@settings(deadline=None, max_examples=150)
def test_price_is_the_lowest_bid_that_keeps_the_position(some: Bidders) -> None:
    held = some.hold()
    for place, (bidder, price) in enumerate(zip(held.chosen.tolist(), held.price.tolist(), strict=True)):
        assert place_of(some.with_bid(bidder, price * (1 + 1e-5) + 1e-12).hold(), bidder) <= place
        if price > 1e-9:
            assert place_of(some.with_bid(bidder, price * (1 - 1e-5)).hold(), bidder) > place


@given(ANY, st.integers(0, 9), st.floats(1.0, 5.0))
@settings(deadline=None, max_examples=150)
def test_higher_bid_never_lowers_the_position_or_the_price(some: Bidders, bidder: int, factor: float) -> None:
    bidder %= len(some.bids)
    before, after = some.hold(), some.with_bid(bidder, some.bids[bidder] * factor).hold()
    assert place_of(after, bidder) <= place_of(before, bidder)
    if bidder in before.chosen:
        old, new = (held.price[held.chosen.tolist().index(bidder)] for held in (before, after))
        assert new >= old * (1 - 1e-6)


@given(FREE, st.sampled_from([0.5, 0.25, 2.0]))
@settings(deadline=None, max_examples=100)
def test_common_probability_factor_changes_neither_order_nor_prices_without_reserve(some: Bidders, by: float) -> None:
    one, other = some.hold(), replace(some, p=some.p * np.float32(by)).hold()
    np.testing.assert_array_equal(one.chosen, other.chosen)
    np.testing.assert_allclose(one.price, other.price, rtol=1e-12)


@given(FREE, st.integers(0, 9))
@settings(deadline=None, max_examples=100)
def test_overestimated_ad_ranks_no_lower_and_pays_less_in_the_same_position(some: Bidders, bidder: int) -> None:
    bidder %= len(some.bids)
    p = some.p.copy()
    p[bidder] *= 1.5
    before, after = some.hold(), replace(some, p=p).hold()
    assert place_of(after, bidder) <= place_of(before, bidder)
    if bidder in before.chosen and place_of(after, bidder) == place_of(before, bidder):
        place = place_of(before, bidder)
        assume(before.price[place] < some.bids[bidder] and before.price[place] > 0)
        assert after.price[place] == pytest.approx(before.price[place] / 1.5, rel=1e-5)


def test_golden_auction_results() -> None:
    p, bids = np.array([0.02, 0.05, 0.01, 0.04], np.float32), np.array([1.0, 0.5, 1.5, 0.25])
    held = Bidders(p, bids, 2, 0.0).hold()  # scores 0.02, 0.025, 0.015, 0.01
    assert held.chosen.tolist() == [1, 0]
    np.testing.assert_allclose(held.price, [0.02 / 0.05, 0.015 / 0.02], rtol=1e-6)
    with_reserve = Bidders(p, bids, 4, 0.006).hold()  # 0.025, 0.012, 0.006, 0.003 in their slots
    assert with_reserve.chosen.tolist() in ([1, 0], [1, 0, 2])
    dear = Bidders(p, bids, 4, 0.0115).hold()
    assert dear.chosen.tolist() == [1, 0]
    np.testing.assert_allclose(dear.price, [0.02 / 0.05, 0.0115 / 0.6 / 0.02], rtol=1e-6)
    first = Bidders(p, bids, 2, 0.0).hold("first")
    assert (first.chosen.tolist(), first.price.tolist()) == ([1, 0], [0.5, 1.0])
    unsold = run_auction(p[:0], bids[:0], LOOKS, 4, 0.002, "second", 0, uniform=False)
    assert len(unsold.chosen) == len(unsold.price) == 0
    alone = Bidders(p[:1], bids[:1], 4, 0.0).hold()
    assert (alone.chosen.tolist(), alone.price.tolist()) == ([0], [0.0])


@given(ANY, st.integers(0, 2**53 - 1))
@settings(deadline=None, max_examples=100)
def test_randomised_page_is_reproducible_and_has_exact_propensities(some: Bidders, seed: int) -> None:
    def drawn() -> Held:
        return run_auction(some.p, some.bids, LOOKS, some.slots, some.reserve, "second", seed, uniform=True)

    held, n = drawn(), min(some.slots, len(some.p))
    np.testing.assert_array_equal(held.chosen, drawn().chosen)
    assert len(set(held.chosen.tolist())) == len(held.chosen) == n
    np.testing.assert_allclose(held.propensity, [1 / (len(some.p) - slot) for slot in range(n)])
    assert (held.price <= some.bids[held.chosen]).all()
    assert (held.price >= 0).all()


def test_randomised_page_gives_every_bidder_every_slot_equally() -> None:
    p, bids, rounds = np.full(5, 0.02, np.float32), np.array([0.1, 0.2, 0.5, 1.0, 2.0]), 4000
    counts = np.zeros((3, 5))
    for seed in range(rounds):
        held = run_auction(p, bids, LOOKS, 3, 0.002, "second", seed, uniform=True)
        counts[np.arange(3), held.chosen] += 1
    assert counts / rounds == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / rounds))


HOURLY = np.arange(1.0, 25.0) / 300


@given(st.floats(0, 86_399.0), st.floats(0, 86_399.0))
@settings(deadline=None, max_examples=100)
def test_day_passed_follows_the_hourly_traffic(one: float, other: float) -> None:
    early, late = sorted((one, other))
    assert 0 <= day_passed(HOURLY, early) <= day_passed(HOURLY, late) <= 1
    assert day_passed(HOURLY, 3600.0 * 10) == pytest.approx(55 / 300)
    assert day_passed(HOURLY, 3600.0 * 10.5) == pytest.approx((55 + 5.5) / 300)


@given(st.lists(st.floats(0, 30), min_size=1, max_size=20), st.floats(0, 1))
@settings(deadline=None, max_examples=100)
def test_pace_decreases_with_spend_ahead_of_the_day(spent: list[float], passed: float) -> None:
    money, budget = np.sort(spent), np.full(len(spent), 20.0)
    share = pace(money, budget, passed)
    assert ((share >= 0) & (share <= 1)).all()
    assert (np.diff(share) <= 0).all()
    assert (share[money >= budget] == 0).all()
    within = (money <= passed * budget) & (money < budget)
    assert (share[within] == 1).all(), "a campaign that is not ahead always bids"
    ahead = money >= (passed + PACING_SLACK * 1.000001) * budget
    assert (share[ahead] == 0).all()


def test_golden_paces() -> None:
    found = pace(np.array([4.0, 5.0, 5.5, 6.0, 10.0, 12.0]), np.full(6, 10.0), 0.5)
    np.testing.assert_allclose(found, [1, 1, 0, 0, 0, 0], atol=1e-9)
    np.testing.assert_allclose(pace(np.array([5.1, 5.25, 5.4]), np.full(3, 10.0), 0.5), [0.8, 0.5, 0.2])
    assert pace(np.array([10.0]), np.array([10.0]), 1.0).tolist() == [0.0], (
        "a spent budget stays at pace 0 at the end of the day"
    )


def test_pacing_draw_matches_the_share_and_is_reproducible() -> None:
    campaign, share = np.arange(40), np.linspace(0, 1, 40)
    seeds = np.random.default_rng(0).integers(0, 2**53, 3000).tolist()
    drawn = np.array([drawn_below(share, campaign, seed) for seed in seeds])
    again = np.array([drawn_below(share, campaign, seed) for seed in seeds[:50]])
    np.testing.assert_array_equal(drawn[:50], again)
    np.testing.assert_allclose(drawn.mean(axis=0), share, atol=4.5 * 0.5 / np.sqrt(len(seeds)))
    assert (drawn.mean(axis=0)[[0, -1]] == [0, 1]).all()
    both = np.corrcoef(drawn[:, 15], drawn[:, 16])[0, 1]
    assert abs(both) < 4.5 / np.sqrt(len(seeds)), "pacing draws of campaigns are independent"


@pytest.mark.parametrize("seeds", [range(20_000), range(2**53 - 20_000, 2**53), range(0, 2**53, 2**53 // 20_000)])
def test_chance_is_uniform_and_independent_of_pacing_draws(seeds: range) -> None:
    drawn = np.array([chance(seed) for seed in seeds])
    assert drawn.min() >= 0
    assert drawn.max() < 1
    share = np.linspace(0, 1, 21)
    np.testing.assert_allclose((drawn[:, None] < share).mean(axis=0), share, atol=4.5 * 0.5 / np.sqrt(len(seeds)))
    bids = np.array([drawn_below(np.array([0.5]), np.array([3]), seed)[0] for seed in seeds])
    for other in (drawn[1:], bids[1:], bids[:-1]):
        assert abs(np.corrcoef(drawn[:-1], other)[0, 1]) < 4.5 / np.sqrt(len(seeds))


@given(st.integers(0, 2**53 - 1), st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None, max_examples=100)
def test_pacing_draw_is_per_campaign_and_monotone_in_the_share(seed: int, one: float, other: float) -> None:
    campaign = np.array([3, 1, 3, 2, 1, 3, 10**6])
    low, high = sorted((one, other))
    few, many = (drawn_below(np.full(7, share), campaign, seed) for share in (low, high))
    for drawn in (few, many):
        assert len(set(drawn[[0, 2, 5]].tolist())) == len(set(drawn[[1, 4]].tolist())) == 1
    assert (many | ~few).all()


@pytest.mark.parametrize(("cap", "kept"), [(1, [8]), (3, [4, 6, 8]), (5, [2, 4, 6, 8]), (6, [0, 2, 4, 6, 8])])
def test_frequency_cap_counts_impressions_of_today(cap: int, kept: list[int]) -> None:
    """Impressions of earlier days do not count."""
    user = replace(
        default_user(),
        seen_ads=np.array([[6, 0, 4, 2, 99]]),
        seen_counts=np.array([[9, 9, 9, 9, 9]]),
        seen_today=np.array([[1, 5, 2, 4, 7]]),
    )
    query = AdQuery(
        1, 4, Context.one(0, 0, START), 0, Deadline.after_ms(1e6), TargetConfig(), PredictConfig(),
        AuctionConfig(frequency_cap=cap), user,
    )  # fmt: skip
    ads = np.array([0, 2, 4, 6, 8])
    found = FrequencyCapFilter().keep(query, Candidates(ads, np.ones(5, np.uint32)))
    assert ads[found].tolist() == kept
