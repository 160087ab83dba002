"""Off-policy estimators match values computed by hand for small logs."""

from __future__ import annotations

import numpy as np
import pytest

from infra.evaluation.off_policy import doubly_robust, importance_sampling, slate_weights

P, Q = np.array([0.8, 0.2]), np.array([0.3, 0.7])
"""probabilities of showing A and B in each of two positions: logging policy and target policy"""


def log(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(shown [n, 2], rewards [n, 2], weights [n, 2]): B earns 2, A earns 1; a repeated item earns half."""
    rng = np.random.default_rng(seed)
    shown = (rng.random((n, 2)) < P[1]).astype(int)
    rewards = 1.0 + shown
    rewards[:, 1] /= 1 + (shown[:, 0] == shown[:, 1])
    return shown, rewards + rng.normal(0, 0.5, (n, 2)), slate_weights(P[shown], Q[shown])


TRUTH = (0.3 + 0.7 * 2) + (0.3 * 0.3 * 0.5 + 0.7 * 0.7 * 1.0 + 0.3 * 0.7 * 2 + 0.7 * 0.3 * 1)


def test_slate_weights_are_cumulative_products_down_the_slate() -> None:
    weights = slate_weights([[0.5, 0.2], [0.5, 1.0]], [[0.25, 0.4], [0.0, 1.0]])
    assert weights.tolist() == [[0.5, 1.0], [0.0, 0.0]]
    with pytest.raises(ValueError, match="not above 0"):
        slate_weights([[0.0]], [[0.5]])


@pytest.mark.parametrize("normalised", [True, False])
def test_importance_sampling_estimates_the_target_policy_with_position_effects(normalised: bool) -> None:
    _, rewards, weights = log(10_000, 1)
    found = importance_sampling(rewards, weights, normalised=normalised)
    assert found.covers(TRUTH)
    assert found.value == pytest.approx(TRUTH, rel=0.05)
    assert not importance_sampling(rewards, np.ones_like(weights)).covers(TRUTH)


def test_estimate_of_the_logging_policy_is_the_mean_of_its_log() -> None:
    _, rewards, _ = log(500, 2)
    for normalised in (True, False):
        found = importance_sampling(rewards, np.ones((500, 2)), normalised=normalised)
        assert found.value == pytest.approx(rewards.sum(axis=1).mean())
        assert found.low < found.value < found.high
        assert found.effective == pytest.approx(500)


def test_doubly_robust_has_less_variance_with_a_good_baseline_and_no_bias_with_a_bad_one() -> None:
    shown, rewards, weights = log(5_000, 3)
    above = shown[:, :1]
    second = (1.0 + np.arange(2)) / (1 + (np.arange(2) == above))  # rewards of A and B, given the item above
    true_q = np.stack([1.0 + shown[:, 0], np.take_along_axis(second, shown[:, 1:], 1)[:, 0]], axis=1)
    true_v = np.stack([np.full(len(shown), 0.3 + 1.4), second @ Q], axis=1)
    plain = importance_sampling(rewards, weights, normalised=False)
    good = doubly_robust(rewards, weights, true_q, true_v)
    assert good.high - good.low < 0.7 * (plain.high - plain.low)
    for wrong in (0.0, 3.0):
        found = doubly_robust(rewards, weights, np.full_like(rewards, wrong), np.full_like(rewards, wrong))
        assert found.covers(TRUTH)
    assert good.covers(TRUTH)
    nothing = doubly_robust(rewards, weights, 0 * rewards, 0 * rewards)
    assert nothing.value == pytest.approx(plain.value)


def test_effective_size_is_the_smallest_over_the_positions() -> None:
    weights = np.array([[2.0, 4.0], [2.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    found = importance_sampling(np.ones((4, 2)), weights)
    assert found.effective == 1.0
    assert found.value == pytest.approx(2.0), "normalised: every position earns 1"
    figure = found.figure("value", "value of the other policy", "s")
    assert (figure.value, figure.low, figure.unit) == (found.value, found.low, "s")


def test_log_without_overlap_with_the_policy_has_zero_effective_slates() -> None:
    found = importance_sampling(np.ones((3, 1)), np.zeros((3, 1)))
    assert (found.value, found.effective) == (0.0, 0.0)
