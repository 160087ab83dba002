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


def false_alarms_of_users(*, by_user: bool) -> int:
    """Looks that call equal models different, in `RUNS` runs. A user's sessions are short or long, as the user is, and
    a fifth of the users have the new model."""
    found = 0
    for seed in range(RUNS):
        rng = np.random.default_rng(seed)
        mean, activity = rng.lognormal(0.0, 1.0, 300), rng.exponential(1.0, 300)
        user = rng.choice(300, SESSIONS, p=activity / activity.sum())
        value, is_new = rng.exponential(mean[user]), (rng.random(300) < 0.2)[user]
        for end in range(100, SESSIONS + 1, 25):
            values, users, of_new = value[:end], user[:end], is_new[:end]
            new, old = (
                Arm.of_users(values[rows], (users if by_user else np.arange(end))[rows]) for rows in (of_new, ~of_new)
            )
            low, high = always_valid_interval(new, old, alpha=0.05, effect=EFFECT * abs(old.mean))
            if low > 0 or high < 0:
                found += 1
                break
    return found


def test_models_of_users_with_different_sessions_are_not_called_different() -> None:
    """With sessions as independent observations, they are too often."""
    assert false_alarms_of_users(by_user=True) <= 0.05 * RUNS < false_alarms_of_users(by_user=False)


def test_observations_of_one_user_each_are_independent() -> None:
    values = np.random.default_rng(4).exponential(3.0, 40)
    arm = Arm.of_users(values, np.arange(40))
    assert (arm.n, arm.users, arm.mean) == (40, 40, pytest.approx(values.mean()))
    assert arm.variance == pytest.approx(values.var(ddof=1))
    assert Arm.of_users(values, np.zeros(40, np.int64)).independent == 1
    assert Arm.of_users(values[:0], np.zeros(0, np.int64)).mean == 0.0


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
