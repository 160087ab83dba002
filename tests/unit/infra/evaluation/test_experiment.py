"""Scores of experiments are ratios over cases, with bootstrap intervals and paired differences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.evaluation.experiment import Score, per_case


def some(seed: int, count: int = 200, shift: float = 0.0) -> Score:
    return per_case("value", "value", "s", np.random.default_rng(seed).normal(10 + shift, 2, count))


def test_score_is_a_ratio_of_sums() -> None:
    score = Score("rate", "rate", "", np.array([1.0, 1.0]), np.array([1.0, 9.0]))
    assert score.value == pytest.approx(0.2)


def test_score_with_a_zero_denominator_is_zero() -> None:
    empty = Score("rate", "rate", "", np.zeros(4), np.zeros(4))
    assert (empty.value, empty.interval()) == (0.0, (0.0, 0.0))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 100))
def test_interval_contains_the_value_and_shrinks_with_more_cases(seed: int) -> None:
    few, many = some(seed, 30), some(seed, 600)
    for score in (few, many):
        low, high = score.interval()
        assert low <= score.value <= high
    assert np.ptp(many.interval()) < np.ptp(few.interval())


def test_interval_width_matches_the_normal_approximation() -> None:
    low, high = some(1, 1000).interval()
    assert high - low == pytest.approx(2 * 1.96 * 2 / np.sqrt(1000), rel=0.15)


def test_merit_orders_scores_by_their_target_or_direction() -> None:
    more, less = (Score("", "", "", np.array([3.0]), np.ones(1), more_is_better=is_more) for is_more in (True, False))
    assert (more.merit, less.merit) == (3.0, -3.0)
    biases = [per_case("bias", "bias", "min", [value], target=0.0) for value in (-2.4, 0.3, 1.6)]
    assert max(biases, key=lambda score: score.merit) is biases[1]
    coverages = [per_case("coverage", "coverage", "", [value], target=0.8) for value in (0.66, 0.79, 0.85)]
    assert max(coverages, key=lambda score: score.merit) is coverages[1]


def test_change_is_paired_by_case() -> None:
    base = some(3)
    better = per_case("value", "value", "s", base.above * 1.1)
    change, low, high = better.change_from(base)
    assert (change, low, high) == pytest.approx((0.1, 0.1, 0.1))


def test_difference_is_paired_by_case() -> None:
    base = some(3)
    better = per_case("value", "value", "s", base.above + 2.0)
    assert better.difference_from(base) == pytest.approx((2.0, 2.0, 2.0))


def test_change_of_a_percentage_is_a_difference() -> None:
    base = Score("gain", "gain", "%", np.array([10.0, 30.0]), np.ones(2))
    more = Score("gain", "gain", "%", np.array([15.0, 35.0]), np.ones(2))
    assert more.change_from(base)[0] == pytest.approx(0.05)
