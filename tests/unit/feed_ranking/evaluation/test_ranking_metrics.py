"""Measures of a ranker have the values that follow from their definitions, and intervals know what is independent."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed_ranking.evaluation.ranking_metrics import mean_ndcg
from infra.training.click_metrics import auc, excess_log_loss_rows, interval, log_loss_rows

Array = npt.NDArray[np.float64]
SEEDS = st.integers(0, 10_000)
CHANCES = st.lists(st.tuples(st.floats(0.001, 0.999), st.floats(0.001, 0.999)), min_size=1, max_size=20)


def slates(seed: int, rows: int) -> tuple[npt.NDArray[np.int64], Array, Array]:
    """(groups, scores without ties, gains) in no order."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 5, rows) * 3 + 1, rng.permutation(rows) / 7, rng.random(rows) + 0.01


def test_ndcg_of_a_small_example_is_the_one_computed_by_hand() -> None:
    """The first slate shows its gains 3, 1, 2 in the order 1, 3, 2; the second, in the best order, counts 1."""
    groups = np.array([4, 4, 4, 9, 9])
    score, gain = np.array([0.5, 0.9, 0.1, 7.0, 6.0]), np.array([3.0, 1.0, 2.0, 5.0, 0.0])
    shown = 1 + 3 / np.log2(3) + 2 / 2
    perfect = 3 + 2 / np.log2(3) + 1 / 2
    assert mean_ndcg(groups, score, gain) == pytest.approx((shown / perfect + 1) / 2)


@given(seed=SEEDS, rows=st.integers(1, 40))
def test_the_best_order_has_an_ndcg_of_one_and_no_other_has_more(seed: int, rows: int) -> None:
    groups, score, gain = slates(seed, rows)
    assert mean_ndcg(groups, gain, gain) == pytest.approx(1.0)
    assert mean_ndcg(groups, np.exp(gain) + 3, gain) == pytest.approx(1.0), "only the order matters"
    worst = mean_ndcg(groups, -gain, gain)
    assert 0 < worst <= mean_ndcg(groups, score, gain) + 1e-12 <= 1 + 1e-9


@given(seed=SEEDS, rows=st.integers(1, 40))
def test_ndcg_does_not_depend_on_the_order_of_rows_or_the_names_of_groups(seed: int, rows: int) -> None:
    groups, score, gain = slates(seed, rows)
    order = np.random.default_rng(seed + 1).permutation(rows)
    expected = mean_ndcg(groups, score, gain)
    assert mean_ndcg(groups[order], score[order], gain[order]) == pytest.approx(expected)
    assert mean_ndcg(100 - groups, score, gain) == pytest.approx(expected)


def test_every_slate_counts_the_same_however_long_it_is() -> None:
    groups = np.repeat([1, 2], [2, 50])
    gain = np.r_[1.0, 2.0, np.arange(50.0, 0, -1)]
    score = np.r_[2.0, 1.0, np.arange(50.0, 0, -1)]
    wrong = (1 + 2 / np.log2(3)) / (2 + 1 / np.log2(3))
    assert mean_ndcg(groups, score, gain) == pytest.approx((wrong + 1) / 2)


def noise(groups: int, seed: int, within: float = 0.0) -> tuple[npt.NDArray[np.int64], Array]:
    """Ten rows per group that share one draw, and differ from each other by `within`."""
    rng = np.random.default_rng(seed)
    value = np.repeat(rng.normal(size=groups), 10) + within * rng.normal(size=groups * 10)
    order = rng.permutation(groups * 10)
    return np.repeat(np.arange(groups), 10)[order] * 7, value[order]


@given(seed=SEEDS, groups=st.integers(5, 40))
@settings(deadline=None, max_examples=20)
def test_an_interval_contains_what_was_measured_and_is_the_same_again(seed: int, groups: int) -> None:
    group, value = noise(groups, seed, within=0.5)
    low, high = interval(group, lambda rows: float(value[rows].mean()), seed)
    assert low < value.mean() < high
    assert (low, high) == interval(group, lambda rows: float(value[rows].mean()), seed)


def test_an_interval_is_as_wide_as_so_many_independent_groups_allow() -> None:
    """The mean of n independent draws has a standard error of 1 / sqrt(n), however often each is repeated."""
    for groups in (50, 800):
        group, value = noise(groups, seed=3)
        low, high = interval(group, lambda rows, value=value: float(value[rows].mean()))
        assert high - low == pytest.approx(2 * 1.96 / np.sqrt(groups), rel=0.3)


def test_nineteen_of_twenty_intervals_contain_the_truth() -> None:
    hits = 0
    for seed in range(100):
        group, value = noise(40, seed, within=0.1)
        low, high = interval(group, lambda rows, value=value: float(value[rows].mean()), seed)
        hits += low < 0 < high
    assert 86 <= hits <= 99, "as many as 95% of a hundred may be, a little fewer by so few groups"


@given(group=st.lists(st.integers(0, 4), min_size=2, max_size=20))
@settings(deadline=None, max_examples=20)
def test_resampling_takes_groups_whole_and_as_many_as_there_are(group: list[int]) -> None:
    groups = np.array(group)
    draws: list[list[int]] = []

    def statistic(rows: npt.NDArray[np.intp]) -> float:
        draws.append(np.bincount(rows, minlength=len(groups)).tolist())
        return 0.0

    interval(groups, statistic)
    for times in draws:
        of_group = {name: {t for t, g in zip(times, group, strict=True) if g == name} for name in group}
        assert all(len(counts) == 1 for counts in of_group.values())
        assert sum(min(counts) for counts in of_group.values()) == len(of_group)
    if len(set(group)) > 1:
        assert len({tuple(times) for times in draws}) > 1, "it does resample"


@given(chances=CHANCES)
def test_excess_loss_is_nothing_at_the_truth_and_something_elsewhere(chances: list[tuple[float, float]]) -> None:
    truth, p = np.array(chances).T
    np.testing.assert_allclose(excess_log_loss_rows(truth, truth), 0, atol=1e-12)
    excess = excess_log_loss_rows(truth, p)
    pinsker = 2 * (truth - p) ** 2
    assert (excess >= pinsker - 1e-12).all(), "Pinsker's inequality"


def test_excess_loss_is_the_expected_loss_less_that_of_the_truth() -> None:
    truth, p = np.array([0.25]), np.array([0.5])
    expected = 0.25 * np.log(0.25 / 0.5) + 0.75 * np.log(0.75 / 0.5)
    np.testing.assert_allclose(excess_log_loss_rows(truth, p), [expected])
    rng = np.random.default_rng(0)
    clicked = (rng.random(200_000) < 0.25).astype(np.float64)
    measured = log_loss_rows(clicked, np.full_like(clicked, 0.5)) - log_loss_rows(clicked, np.full_like(clicked, 0.25))
    assert measured.mean() == pytest.approx(expected, abs=0.01)


def test_a_prediction_that_was_certain_and_wrong_costs_much_and_not_endlessly_much() -> None:
    loss = log_loss_rows(np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]))
    assert np.isfinite(loss).all()
    assert (loss[:2] > 10).all()
    assert loss[2] < 1e-6


def test_auc_is_the_chance_that_a_click_scores_higher() -> None:
    clicked, score = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.5, 0.4, 0.1])
    assert auc(clicked, score) == 0.75
    assert auc(clicked, -score) == 0.25
    assert auc(clicked, clicked) == 1.0


@pytest.mark.parametrize("clicked", [np.zeros(3), np.ones(3)], ids=["no click", "only clicks"])
def test_auc_of_one_kind_is_that_of_a_coin(clicked: Array) -> None:
    assert auc(clicked, np.array([0.1, 0.5, 0.9])) == 0.5
