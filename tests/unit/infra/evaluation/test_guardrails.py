"""A challenger is rolled back only if it is surely beyond a limit and surely worse than the champion."""

from __future__ import annotations

import pytest

from infra.evaluation.guardrails import (
    Requests,
    broken_by_calibration,
    broken_by_requests,
    broken_by_sessions,
    next_share,
    wilson,
)
from infra.evaluation.rollout_config import RolloutConfig
from infra.evaluation.sequential import Arm

CONFIG = RolloutConfig()


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (Requests(10, failed=10), "100.0% of its requests fail, 0.0%"),
        (Requests(50, degraded=50), "of its answers are degraded"),
        (Requests(200, slow=60), "exceed the latency budget"),
    ],
)
def test_bad_challenger_is_stopped_after_few_requests(new: Requests, words: str) -> None:
    assert words in broken_by_requests(new, Requests(1_000), CONFIG)


def test_one_failure_or_trouble_of_both_models_stops_nothing() -> None:
    assert not broken_by_requests(Requests(20, failed=1), Requests(1_000), CONFIG)
    assert not broken_by_requests(Requests(100, degraded=100), Requests(400, degraded=400), CONFIG)
    assert not broken_by_requests(Requests(300, slow=60), Requests(300, slow=50), CONFIG)
    assert not broken_by_requests(Requests(), Requests(), CONFIG)


def test_without_requests_of_the_champion_the_limit_alone_decides() -> None:
    assert broken_by_requests(Requests(100, failed=30), Requests(), CONFIG)
    assert not broken_by_requests(Requests(1_000, failed=3), Requests(), CONFIG)


def test_calibration_needs_a_large_and_sure_difference() -> None:
    old = (0.9, 0.02, 500)
    assert "its calibration is 0.45" in broken_by_calibration({"new": (0.45, 0.03, 200), "old": old}, CONFIG)
    assert "its calibration is 1.80" in broken_by_calibration({"new": (1.8, 0.05, 200), "old": old}, CONFIG)
    assert not broken_by_calibration({"new": (0.45, 0.03, 10), "old": old}, CONFIG), "too few requests"
    assert not broken_by_calibration({"new": (0.45, 0.3, 200), "old": old}, CONFIG), "may be noise"
    assert not broken_by_calibration({"new": (0.7, 0.001, 200), "old": old}, CONFIG), "a small difference"
    assert not broken_by_calibration({"new": (1.07, 0.03, 200), "old": (0.5, 0.02, 500)}, CONFIG), (
        "it is the better one"
    )
    assert "its calibration is 0.00" in broken_by_calibration({"new": (0.0, 0.0, 200), "old": old}, CONFIG)
    assert "its calibration is -0.70" in broken_by_calibration({"new": (-0.7, 0.1, 200), "old": old}, CONFIG)
    assert not broken_by_calibration({}, CONFIG)
    assert not broken_by_calibration({"new": (float("nan"), 0.1, 200), "old": old}, CONFIG)


def test_sessions_stop_a_model_whose_whole_interval_is_below_the_limit() -> None:
    new, old = Arm(100, 100.0, 200.0), Arm(100, 200.0, 500.0)
    assert "surely worse" in broken_by_sessions(new, old, -0.1, "clicks", CONFIG)
    assert not broken_by_sessions(new, old, 0.1, "clicks", CONFIG)
    assert not broken_by_sessions(new, old, -0.1, "clicks", RolloutConfig(guard_loss=0.2))


def test_steps_follow_each_other_after_enough_sessions() -> None:
    few, enough = (Arm(n, float(n), float(n)) for n in (CONFIG.canary_sessions - 1, CONFIG.canary_sessions))
    assert next_share(0.01, few, few, CONFIG) is None
    assert [next_share(share, enough, enough, CONFIG) for share in (0.01, 0.05, 0.25)] == [0.05, 0.25, 1.0]
    empty = Arm(CONFIG.canary_sessions)
    assert next_share(0.01, empty, empty, CONFIG) is None, "no session of either model says anything"
    assert next_share(0.01, enough, empty, CONFIG) == 0.05


def arm(n: int, mean: float, deviation: float) -> Arm:
    return Arm(n, n * mean, (n - 1) * deviation**2 + n * mean**2)


def test_step_goes_on_while_the_challenger_looks_worse_and_ends_in_a_rollback() -> None:
    n = CONFIG.canary_sessions
    old, better, noisy, worse = arm(n, 10.0, 5.0), arm(n, 11.0, 5.0), arm(n, 9.8, 5.0), arm(n, 9.5, 5.0)
    assert next_share(0.05, better, old, CONFIG) == next_share(0.05, noisy, old, CONFIG) == 0.25
    assert next_share(0.05, worse, old, CONFIG) is None
    assert next_share(0.05, worse, old, RolloutConfig(guard_loss=0.1)) == 0.25, "so much may be lost"
    assert not broken_by_sessions(worse, old, 0.1, "clicks", CONFIG), "it may have been chance"
    many = n * CONFIG.canary_patience
    assert "still looks worse" in broken_by_sessions(arm(many, 9.5, 5.0), old, 0.1, "clicks", CONFIG)
    assert not broken_by_sessions(arm(many, 9.8, 5.0), old, 0.1, "clicks", CONFIG)


def test_wilson_interval_contains_the_share_and_shrinks() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    for hits, total in ((0, 10), (10, 10), (3, 40)):
        low, high = wilson(hits, total)
        assert 0 <= low <= hits / total <= high <= 1
    assert wilson(30, 400)[1] < wilson(3, 40)[1]
