"""The always-valid interval keeps its error under continuous peeking, and finds a difference that is there."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from infra.evaluation.sequential import FEWEST, Arm, always_valid_interval
from infra.telemetry.canary.look import EFFECT

RUNS, SESSIONS = 200, 1_000


def first_look_without_zero(lift: float, seed: int, share: float = 0.5) -> int | None:
    """The number of sessions after which the interval first excludes 0, looking after every session."""
    rng = np.random.default_rng(seed)
    values = rng.exponential(10.0, SESSIONS) * (rng.random(SESSIONS) < 0.4)  # most sessions are worth nothing
    arms = [Arm(), Arm()]
    for number, (value, is_new) in enumerate(
        zip(values.tolist(), (rng.random(SESSIONS) < share).tolist(), strict=True)
    ):
        arms[is_new] = arms[is_new].add(value * (1 + lift) if is_new else value)
        low, high = always_valid_interval(arms[1], arms[0], alpha=0.05, effect=EFFECT * abs(arms[0].mean))
        if low > 0 or high < 0:
            return number
    return None


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_at_most_five_percent_of_equal_models_are_ever_called_different(share: float) -> None:
    alarms = sum(first_look_without_zero(0.0, seed, share) is not None for seed in range(RUNS))
    assert alarms <= 0.05 * RUNS


def test_much_worse_model_is_noticed_soon() -> None:
    found = [first_look_without_zero(-0.7, seed) for seed in range(20)]
    assert all(look is not None for look in found)
    assert np.median([look for look in found if look is not None]) < SESSIONS / 2


def test_no_interval_before_enough_sessions_or_without_variance() -> None:
    many, few = Arm(100, 50.0, 50.0), Arm(FEWEST - 1, 10.0, 10.0)
    assert always_valid_interval(few, many, alpha=0.05, effect=0.1) == (-inf, inf)
    assert always_valid_interval(many, few, alpha=0.05, effect=0.1) == (-inf, inf)
    still = Arm(100, 100.0, 100.0)
    assert always_valid_interval(still, still, alpha=0.05, effect=0.1) == (-inf, inf)
    assert always_valid_interval(many, many, alpha=0.05, effect=0.0) == (-inf, inf)


def test_interval_is_centred_and_narrower_with_more_sessions_or_a_larger_alpha() -> None:
    def half(n: int, alpha: float) -> float:
        one, other = Arm(n, 0.5 * n, 0.5 * n), Arm(n, 0.4 * n, 0.4 * n)
        low, high = always_valid_interval(one, other, alpha=alpha, effect=0.1)
        assert (low + high) / 2 == pytest.approx(0.1)
        return (high - low) / 2

    assert half(4_000, 0.05) < half(1_000, 0.05) < half(1_000, 0.01)


def test_arm_has_mean_and_sample_variance() -> None:
    values = np.random.default_rng(3).normal(5, 2, 50)
    arm = Arm()
    for value in values.tolist():
        arm = arm.add(value)
    assert (arm.n, arm.mean, arm.variance) == (50, pytest.approx(values.mean()), pytest.approx(values.var(ddof=1)))
