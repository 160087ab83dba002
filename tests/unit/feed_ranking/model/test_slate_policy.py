"""Each rule of the re-ranker holds for arbitrary inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed_ranking.config import RerankConfig
from feed_ranking.model.slate_policy import (
    Filled,
    ad_places,
    draw_slate,
    fill_at_random,
    fill_slots,
    first_of_each,
    rank_in_group,
    slate_choices,
    slate_propensity,
    with_freshness,
    with_repeat_discount,
)

LISTS = st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=40)


def filled(
    pool: list[tuple[int, bool]], k: int, cap: int, epsilon: float, seed: int | np.random.Generator = 0
) -> Filled:
    creators = np.array([creator for creator, _ in pool], np.int64)
    is_new = np.array([new for _, new in pool], bool)
    rng = np.random.default_rng(seed)
    return fill_slots(creators, is_new, k, creator_cap=cap, epsilon=epsilon, rng=rng)


@given(pool=LISTS, k=st.integers(0, 30), cap=st.integers(1, 4), epsilon=st.floats(0, 1), seed=st.integers(0, 99))
def test_slate_respects_the_creator_cap_without_duplicates_or_avoidable_gaps(
    pool: list[tuple[int, bool]], k: int, cap: int, epsilon: float, seed: int
) -> None:
    done = filled(pool, k, cap, epsilon, seed)
    chosen = done.chosen.tolist()
    assert len(set(chosen)) == len(chosen)
    counts = np.bincount([pool[place][0] for place in chosen], minlength=7)
    assert (counts <= cap).all()
    possible = sum(min(cap, sum(creator == c for creator, _ in pool)) for c in range(7))
    assert len(chosen) == min(k, possible)
    assert ((done.propensity > 0) & (done.propensity <= 1 + 1e-12)).all()
    assert all(pool[place][1] for place in done.chosen[done.explored])


@given(pool=LISTS, k=st.integers(1, 30), cap=st.integers(1, 4))
def test_slate_without_exploration_keeps_the_order_with_propensity_one(
    pool: list[tuple[int, bool]], k: int, cap: int
) -> None:
    done = filled(pool, k, cap, 0.0)
    assert done.chosen.tolist() == sorted(done.chosen.tolist())
    assert (done.propensity == 1.0).all()
    without_new = filled([(creator, False) for creator, _ in pool], k, cap, 0.9)
    assert without_new.chosen.tolist() == done.chosen.tolist()
    assert (without_new.propensity == 1.0).all()


def test_propensities_match_the_frequencies_of_ten_thousand_draws() -> None:
    """Checked for the first position, and for the second given the first."""
    pool = [(0, False), (1, True), (0, False), (2, True), (2, True), (3, False)]
    rng = np.random.default_rng(5)
    draws = [filled(pool, 2, 1, 0.4, rng) for _ in range(10_000)]
    first = np.array([draw.chosen[0] for draw in draws])
    second = np.array([draw.chosen[1] for draw in draws])
    stated = {(int(d.chosen[0]), int(d.chosen[1])): d.propensity for d in draws}
    for (one, two), propensity in stated.items():
        share = (first == one).mean()
        assert share == pytest.approx(propensity[0], abs=4 * np.sqrt(share * (1 - share) / len(draws)) + 1e-9)
        given_one = second[first == one]
        share = (given_one == two).mean()
        assert share == pytest.approx(propensity[1], abs=4 * np.sqrt(share * (1 - share) / len(given_one)) + 1e-9)
    for place in range(2):
        by_choice = {draw.chosen[place]: draw.propensity[place] for draw in draws if place == 0 or draw.chosen[0] == 0}
        assert sum(by_choice.values()) == pytest.approx(1.0), "propensities of all choices sum to one"


@given(pool=LISTS, k=st.integers(0, 30), cap=st.integers(1, 4), epsilon=st.floats(0, 1), seed=st.integers(0, 99))
def test_slate_propensity_reproduces_the_logged_propensity(
    pool: list[tuple[int, bool]], k: int, cap: int, epsilon: float, seed: int
) -> None:
    creators, is_new = np.array([c for c, _ in pool], np.int64), np.array([new for _, new in pool], bool)
    done = filled(pool, k, cap, epsilon, seed)
    again = slate_propensity(creators, is_new, done.chosen, creator_cap=cap, epsilon=epsilon)
    np.testing.assert_array_equal(again, done.propensity)
    choices = slate_choices(creators, is_new, done.chosen, creator_cap=cap, epsilon=epsilon)
    np.testing.assert_array_equal(choices[np.arange(len(done.chosen)), done.chosen], done.propensity)
    np.testing.assert_allclose(choices.sum(axis=1), 1.0)


def test_slate_propensity_under_other_rules_is_zero_for_forbidden_slates() -> None:
    creators, is_new = np.array([0, 1, 0, 2, 2]), np.array([False, False, False, True, True])
    explored = np.array([3, 0, 1])
    half = slate_propensity(creators, is_new, explored, creator_cap=1, epsilon=0.5)
    assert half.tolist() == [0.25, 1.0, 1.0], "no new creator is left after the creator cap"
    assert slate_propensity(creators, is_new, explored, creator_cap=2, epsilon=0.5).tolist() == [0.25, 0.5, 0.5]
    assert slate_propensity(creators, is_new, explored, creator_cap=1, epsilon=0.0)[0] == 0.0
    twice = slate_propensity(creators, is_new, np.array([0, 2]), creator_cap=1, epsilon=0.5)
    assert twice[1] == 0.0, "a second post exceeds the creator cap"


def test_uniform_slate_draws_posts_equally_regardless_of_score() -> None:
    rules = RerankConfig()
    score, creators = np.array([9, 1, 1, 1, 1], np.float32), np.zeros(5, np.int64)
    draws = [
        draw_slate(score, creators, np.zeros(5), np.ones(5, bool), 4, rules, seed, uniform=True) for seed in range(4000)
    ]
    first = np.bincount([draw.chosen[0] for draw in draws], minlength=5) / len(draws)
    np.testing.assert_allclose(first, 0.2, atol=4 * np.sqrt(0.16 / len(draws)))
    assert draws[0].propensity.tolist() == [1 / 5, 1 / 4, 1 / 3, 1 / 2], "no creator cap applies"
    assert not draws[0].explored.any()
    rng = np.random.default_rng([7, 0])
    assert draws[7].chosen.tolist() == rng.permutation(5)[:4].tolist()
    assert len(fill_at_random(2, 5, rng).chosen) == 2


@given(
    scores=st.lists(st.tuples(st.floats(0.015625, 100, width=32), st.integers(0, 4)), min_size=1, max_size=25),
    discount=st.floats(0.05, 1.0),
)
def test_sorting_by_repeat_discount_equals_greedy_selection(scores: list[tuple[float, int]], discount: float) -> None:
    score = np.array([s for s, _ in scores], np.float32)
    creators = np.array([c for _, c in scores], np.int64)
    effective = with_repeat_discount(score, creators, discount)
    order = np.argsort(-effective, kind="stable")
    shown = np.zeros(5)
    left = set(range(len(score)))
    for place in order.tolist():
        now = {i: float(np.float32(score[i] * discount ** shown[creators[i]])) for i in left}
        assert now[place] == pytest.approx(max(now.values()), rel=1e-5)
        shown[creators[place]] += 1
        left.remove(place)


def test_rank_in_group_counts_better_scores_and_earlier_ties() -> None:
    score = np.array([3, 5, 5, 1, 4], np.float32)
    assert rank_in_group(score, np.array([1, 1, 1, 1, 2])).tolist() == [2, 0, 1, 3, 0]
    assert rank_in_group(np.empty(0, np.float32), np.empty(0, np.int64)).tolist() == []


def test_freshness_boost_raises_the_scores_of_new_posts() -> None:
    score = np.full(3, 10, np.float32)
    lifted = with_freshness(score, np.array([0.0, 6.0, 600.0]), 0.4)
    np.testing.assert_allclose(lifted, [14.0, 12.0, 10.0], rtol=1e-5)
    np.testing.assert_array_equal(with_freshness(score, np.array([0.0, 6.0, 600.0]), 0.0), score)


@given(ids=st.lists(st.integers(0, 9), max_size=30))
def test_deduplication_keeps_the_first_occurrence(ids: list[int]) -> None:
    kept = np.array(ids, np.int64)[first_of_each(np.array(ids, np.int64))].tolist()
    assert kept == list(dict.fromkeys(ids))


@given(k=st.integers(1, 200), ads=st.integers(0, 50), gap=st.integers(1, 100))
def test_ad_positions_keep_the_gap_and_never_end_a_slate(k: int, ads: int, gap: int) -> None:
    places = ad_places(k, ads, gap)
    assert len(places) <= ads
    edges = [-1, *places]
    assert all(later - earlier - 1 >= gap for earlier, later in zip(edges, places, strict=False))
    assert all(place < k - 1 for place in places)
