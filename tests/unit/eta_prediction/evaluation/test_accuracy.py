"""Expected losses under a law are smallest for the law's own quantiles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eta_prediction.evaluation.accuracy import absolute_of_law, coverage_of_law, pinball_of_law
from eta_prediction.model.quantiles import pinball_rows

LEVELS = (0.1, 0.5, 0.9)
DRAWS = 999


@pytest.fixture(scope="module")
def law() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(300, 2_000, (40, 1)) * np.exp(rng.uniform(0.05, 0.4, (40, 1)) * rng.normal(size=(40, DRAWS)))


@given(st.tuples(*[st.floats(0.6, 1.6) for _ in LEVELS]))
def test_no_times_beat_the_quantiles_of_the_law(law: np.ndarray, factors: tuple[float, float, float]) -> None:
    own = np.quantile(law, LEVELS, axis=1).T
    other = own * np.array(factors)
    assert (pinball_of_law(law, own) <= pinball_of_law(law, other) + 1e-9).all()
    assert (absolute_of_law(law, own[:, 1]) <= absolute_of_law(law, other[:, 1]) + 1e-9).all()


def test_the_quantiles_of_a_law_cover_four_fifths_of_it(law: np.ndarray) -> None:
    own = np.quantile(law, LEVELS, axis=1).T
    np.testing.assert_allclose(coverage_of_law(law, own), 0.8, atol=2 / DRAWS)
    assert (coverage_of_law(law, own * np.array([1.1, 1.0, 0.9])) < 0.8).all()


def test_expected_loss_is_the_mean_over_the_draws(law: np.ndarray) -> None:
    quantiles = np.quantile(law, LEVELS, axis=1).T * 1.1
    each = np.stack([pinball_rows(law[:, draw], quantiles) for draw in range(DRAWS)], axis=1)
    np.testing.assert_allclose(pinball_of_law(law, quantiles), each.mean(axis=1), rtol=1e-9)


def test_pinball_counts_a_late_trip_by_the_level_and_an_early_one_by_the_rest() -> None:
    quantiles = np.array([[100.0, 100.0, 100.0]])
    assert pinball_rows(np.array([110.0]), quantiles)[0] == pytest.approx((1 + 5 + 9) / 3)
    assert pinball_rows(np.array([90.0]), quantiles)[0] == pytest.approx((9 + 5 + 1) / 3)
