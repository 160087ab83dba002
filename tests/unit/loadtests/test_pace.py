"""A simulated user sends requests on schedule, catches up after slow answers, and reports its lateness."""

from __future__ import annotations

import random

import pytest

from loadtests.pace import Pace

RATE = 5.0


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def asked(answer_s: float, requests: int, late_s: float = 0.0) -> tuple[float, list[float]]:
    """(requests per second, lateness of each in ms) where each answer takes `answer_s`."""
    clock = Clock()
    pace, late = Pace(random.Random(1), RATE, clock), []
    for _ in range(requests):
        clock.now += pace.wait_s() + late_s
        late.append(pace.send_lag_ms())
        clock.now += answer_s
    return requests / (clock.now - 100.0), late


@pytest.mark.parametrize("answer_s", [0.0, 0.02, 0.1])
def test_request_rate_does_not_depend_on_answer_time(answer_s: float) -> None:
    rate, _ = asked(answer_s, 4000)
    assert rate == pytest.approx(RATE, rel=0.05)


def test_slow_answers_limit_the_request_rate() -> None:
    rate, late = asked(0.5, 400)
    assert rate == pytest.approx(2.0, rel=0.05)
    assert max(late) == pytest.approx(0.0, abs=1e-6), "the service was late, not the generator"


def test_pace_measures_a_late_generator() -> None:
    _, late = asked(0.0, 100, late_s=0.03)
    assert late == pytest.approx([30.0] * 100, abs=1e-6)


def test_request_gaps_are_exponential() -> None:
    clock = Clock()
    pace = Pace(random.Random(2), RATE, clock)
    gaps = []
    for _ in range(2000):
        gaps.append(pace.wait_s())
        clock.now += gaps[-1]
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert spread == pytest.approx(mean, rel=0.1), "the gaps of a Poisson process are exponential"
