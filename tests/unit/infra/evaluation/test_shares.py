"""A share is broken only beyond chance, and holds only if the sample could show a break."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from infra.evaluation.shares import Judgement, Share, fewest

BROKEN, HOLDS, TOO_FEW, INCONCLUSIVE = (
    Judgement.BROKEN,
    Judgement.HOLDS,
    Judgement.TOO_FEW,
    Judgement.INCONCLUSIVE,
)


@given(total=st.integers(1, 5000), part=st.floats(0, 1))
def test_interval_matches_clopper_pearson(total: int, part: float) -> None:
    hits = round(total * part)
    expected = binomtest(hits, total).proportion_ci(0.95, method="exact")
    assert Share(hits, total).interval() == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(
    ("failures", "total", "expected"),
    [
        (0, 1000, HOLDS),
        (1, 1000, HOLDS),
        (2, 1000, HOLDS),
        (3, 1000, HOLDS),
        (4, 1000, BROKEN),
        (0, 999, TOO_FEW),
        (3, 500, BROKEN),
        (1, 10, BROKEN),
        (0, 10, TOO_FEW),
        (30, 20_000, BROKEN),
        (20, 20_000, HOLDS),
        (0, 0, TOO_FEW),
    ],
)
def test_share_is_broken_only_beyond_chance(failures: int, total: int, expected: Judgement) -> None:
    assert Share(total - failures, total).judge(0.999) is expected


@pytest.mark.parametrize(
    ("hits", "total", "within", "expected"),
    [
        (10, 1000, (0.0, 0.01), HOLDS),
        (17, 1000, (0.0, 0.01), HOLDS),
        (18, 1000, (0.0, 0.01), BROKEN),
        (0, 99, (0.0, 0.01), TOO_FEW),
        (500, 1000, (0.3, 1.0), HOLDS),
        (25, 100, (0.3, 1.0), HOLDS),
        (20, 100, (0.3, 1.0), BROKEN),
        (0, 2, (0.3, 1.0), TOO_FEW),
        (1, 1000, (0.0, 0.0), BROKEN),
        (999, 1000, (1.0, 1.0), BROKEN),
        (1000, 1000, (1.0, 1.0), HOLDS),
    ],
)
def test_share_can_break_either_limit(hits: int, total: int, within: tuple[float, float], expected: Judgement) -> None:
    assert Share(hits, total).judge(*within) is expected


def test_share_at_its_limit_is_rarely_broken_and_far_below_it_almost_always() -> None:
    rng = np.random.default_rng(3)
    at_limit, far_below = (
        [Share(int(hits), 1200).judge(0.999) is BROKEN for hits in rng.binomial(1200, p, 2000)] for p in (0.999, 0.99)
    )
    assert np.mean(at_limit) < 0.05
    assert np.mean(far_below) > 0.95


def test_minimum_number_of_requests_follows_from_the_limits() -> None:
    assert fewest(0.999, 1.0) == 1000
    assert fewest(0.0, 0.01) == fewest(0.3, 1.0) == fewest(0.0, 1.0) == 100
    assert fewest(0.0, 0.0005) == 2000


def test_share_without_requests_is_nan() -> None:
    assert math.isnan(Share(0, 0).value)
    assert Share(0, 0).interval() == (0.0, 1.0)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], HOLDS),
        ([HOLDS, HOLDS], HOLDS),
        ([HOLDS, TOO_FEW], TOO_FEW),
        ([TOO_FEW, INCONCLUSIVE], INCONCLUSIVE),
        ([INCONCLUSIVE, BROKEN, TOO_FEW], BROKEN),
    ],
)
def test_run_judgement_is_its_most_severe_finding(found: list[Judgement], expected: Judgement) -> None:
    assert Judgement.of_all(found) is expected
