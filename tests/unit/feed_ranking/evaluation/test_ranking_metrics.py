"""Ranking metrics match their definitions and reference implementations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from feed_ranking.evaluation.ranking_metrics import mean_ndcg
from infra.training.click_metrics import auc, excess_log_loss_rows, log_loss_rows

Array = npt.NDArray[np.float64]
SEEDS = st.integers(0, 10_000)
CHANCES = st.lists(st.tuples(st.floats(0.001, 0.999), st.floats(0.001, 0.999)), min_size=1, max_size=20)


def slates(seed: int, rows: int) -> tuple[npt.NDArray[np.int64], Array, Array]:
    """(groups, scores without ties, gains) in no order."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 5, rows) * 3 + 1, rng.permutation(rows) / 7, rng.random(rows) + 0.01


def test_ndcg_matches_a_small_example_computed_by_hand() -> None:
    """The first slate shows its gains 3, 1, 2 in the order 1, 3, 2; the second, in the best order, counts 1."""
    groups = np.array([4, 4, 4, 9, 9])
    score, gain = np.array([0.5, 0.9, 0.1, 7.0, 6.0]), np.array([3.0, 1.0, 2.0, 5.0, 0.0])
    shown = 1 + 3 / np.log2(3) + 2 / 2
    perfect = 3 + 2 / np.log2(3) + 1 / 2
    assert mean_ndcg(groups, score, gain) == pytest.approx((shown / perfect + 1) / 2)


@given(seed=SEEDS, rows=st.integers(1, 40))
def test_ndcg_is_one_for_the_best_order_and_never_higher(seed: int, rows: int) -> None:
    groups, score, gain = slates(seed, rows)
    assert mean_ndcg(groups, gain, gain) == pytest.approx(1.0)
    assert mean_ndcg(groups, np.exp(gain) + 3, gain) == pytest.approx(1.0), "only the order matters"
    worst = mean_ndcg(groups, -gain, gain)
    assert 0 < worst <= mean_ndcg(groups, score, gain) + 1e-12 <= 1 + 1e-9


@given(seed=SEEDS, rows=st.integers(1, 40))
def test_ndcg_does_not_depend_on_row_order_or_group_names(seed: int, rows: int) -> None:
    groups, score, gain = slates(seed, rows)
    order = np.random.default_rng(seed + 1).permutation(rows)
    expected = mean_ndcg(groups, score, gain)
    assert mean_ndcg(groups[order], score[order], gain[order]) == pytest.approx(expected)
    assert mean_ndcg(100 - groups, score, gain) == pytest.approx(expected)


def test_ndcg_weights_slates_equally_regardless_of_length() -> None:
    groups = np.repeat([1, 2], [2, 50])
    gain = np.r_[1.0, 2.0, np.arange(50.0, 0, -1)]
    score = np.r_[2.0, 1.0, np.arange(50.0, 0, -1)]
    wrong = (1 + 2 / np.log2(3)) / (2 + 1 / np.log2(3))
    assert mean_ndcg(groups, score, gain) == pytest.approx((wrong + 1) / 2)


@given(chances=CHANCES)
def test_excess_loss_is_zero_at_the_true_probability_and_positive_elsewhere(chances: list[tuple[float, float]]) -> None:
    truth, p = np.array(chances).T
    np.testing.assert_allclose(excess_log_loss_rows(truth, truth), 0, atol=1e-12)
    excess = excess_log_loss_rows(truth, p)
    pinsker = 2 * (truth - p) ** 2
    assert (excess >= pinsker - 1e-12).all(), "Pinsker's inequality"


def test_excess_loss_is_the_expected_loss_minus_the_minimum() -> None:
    truth, p = np.array([0.25]), np.array([0.5])
    expected = 0.25 * np.log(0.25 / 0.5) + 0.75 * np.log(0.75 / 0.5)
    np.testing.assert_allclose(excess_log_loss_rows(truth, p), [expected])
    rng = np.random.default_rng(0)
    clicked = (rng.random(200_000) < 0.25).astype(np.float64)
    measured = log_loss_rows(clicked, np.full_like(clicked, 0.5)) - log_loss_rows(clicked, np.full_like(clicked, 0.25))
    assert measured.mean() == pytest.approx(expected, abs=0.01)


def test_log_loss_of_a_certain_wrong_prediction_is_large_but_finite() -> None:
    loss = log_loss_rows(np.array([1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0]))
    assert np.isfinite(loss).all()
    assert (loss[:2] > 10).all()
    assert loss[2] < 1e-6


def test_auc_is_the_probability_that_a_click_scores_higher() -> None:
    clicked, score = np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.5, 0.4, 0.1])
    assert auc(clicked, score) == 0.75
    assert auc(clicked, -score) == 0.25
    assert auc(clicked, clicked) == 1.0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2, max_size=60))
def test_auc_matches_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    clicked, score = np.array(rows, np.float64).T
    assume(0 < clicked.sum() < len(clicked))
    assert auc(clicked, score) == pytest.approx(roc_auc_score(clicked, score))


@pytest.mark.parametrize("clicked", [np.zeros(3), np.ones(3)], ids=["no click", "only clicks"])
def test_auc_of_a_single_class_is_one_half(clicked: Array) -> None:
    assert auc(clicked, np.array([0.1, 0.5, 0.9])) == 0.5
