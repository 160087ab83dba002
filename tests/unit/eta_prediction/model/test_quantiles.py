"""Quantiles are ordered, conformal adjustment covers, and a quote moves with its quantile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eta_prediction.model.quantiles import offsets_of, scores, seconds_of
from eta_prediction.model.quote import quoted_s
from eta_prediction.offline.quantile_models.conformal import blocks_of, offsets_by_days, out_of_fold

ratio = st.floats(-1, 5, width=32)


@given(st.lists(st.tuples(ratio, ratio, ratio), min_size=1, max_size=20), st.floats(-2, 5), st.floats(-2, 5))
def test_quantiles_are_positive_and_ascend_whatever_the_model_and_the_adjustment(
    rows: list[tuple[float, float, float]], below: float, above: float
) -> None:
    base_s = np.linspace(60, 3_000, len(rows))
    found = seconds_of(np.array(rows, np.float32), base_s, (below, above))
    assert (np.diff(found, axis=1) >= 0).all()
    assert (found > 0).all()


@pytest.mark.parametrize("narrow", [0.3, 1.0, 2.5])
def test_adjusted_interval_covers_new_trips_however_wide_the_model_is(narrow: float) -> None:
    """Trips are exchangeable, so 80% of new ones lie inside, with 10% on each side."""
    rng = np.random.default_rng(3)

    def draw(n: int) -> tuple[np.ndarray, np.ndarray]:
        middle, width = rng.uniform(0.8, 1.2, n), rng.uniform(0.1, 0.3, n)
        actual = middle + width * np.where(rng.random(n) < 0.5, -0.6, 1.0) * np.abs(rng.normal(size=n))
        model = np.stack([middle - narrow * width, middle, middle + narrow * width], axis=1)
        return model.astype(np.float32), actual

    offsets = offsets_of(*scores(*draw(4_000)))
    model, actual = draw(20_000)
    low, _, high = seconds_of(model, np.ones(len(actual)), offsets).T
    assert (actual < low).mean() == pytest.approx(0.1, abs=0.015)
    assert (actual > high).mean() == pytest.approx(0.1, abs=0.015)


@given(st.integers(1, 30), st.integers(2, 6))
def test_every_trip_is_predicted_by_a_model_that_has_not_seen_its_day(days: int, folds: int) -> None:
    day = np.repeat(np.arange(days) + 100, 3)
    seen: list[set[int]] = []

    def learn(train: np.ndarray, test: np.ndarray, block: int) -> np.ndarray:
        assert not set(day[train].tolist()) & set(day[test].tolist())
        seen.append(set(test.tolist()))
        return np.full((len(test), 3), block, np.float32)

    found = out_of_fold(day, folds, learn)
    assert sum(len(rows) for rows in seen) == len(day)
    np.testing.assert_array_equal(found[:, 0], blocks_of(day, folds))
    assert len(seen) == min(folds, days)


def test_calibration_on_the_last_days_follows_what_changed() -> None:
    """From day 10 on, trips take longer than the model says: only the last days show it in full."""
    day = np.repeat(np.arange(14), 200)
    rng = np.random.default_rng(0)
    actual = 1 + 0.1 * rng.normal(size=len(day)) + 0.2 * (day >= 10)
    model = np.tile(np.array([0.87, 1.0, 1.13], np.float32), (len(day), 1))
    found = offsets_by_days(model, actual, day)
    assert found["last_4"][1] > found["all_days"][1] + 0.2
    assert found["last_17"] == found["all_days"]


@given(st.floats(30, 500), st.floats(1, 2), st.floats(1, 3))
def test_quote_is_the_median_at_one_half_and_the_ends_at_their_levels(low: float, one: float, other: float) -> None:
    quantiles = np.array([low, low * one, low * one * other])
    for level, expected in zip((0.1, 0.5, 0.9), quantiles, strict=True):
        assert quoted_s(quantiles, level) == pytest.approx(expected, rel=1e-9)
    levels = [quoted_s(quantiles, level) for level in (0.1, 0.3, 0.5, 0.6, 0.7, 0.9)]
    assert levels == sorted(levels)
