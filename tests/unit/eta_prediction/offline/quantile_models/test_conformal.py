"""A calibration uses no prediction of a model that has seen the trip, and its coverage holds on later trips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eta_prediction.domain import Array, Ints
from eta_prediction.model.inputs import Floats
from eta_prediction.model.quantiles import seconds_of
from eta_prediction.offline.quantile_models.conformal import blocks_of, offsets_by_days, out_of_fold


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.integers(2, 10))
def test_blocks_are_consecutive_days_and_about_equal(days: list[int], folds: int) -> None:
    day = np.array(days)
    block = blocks_of(day, folds)
    order = np.argsort(day, kind="stable")
    assert (np.diff(block[order]) >= 0).all()
    for number in np.unique(day).tolist():
        assert len(np.unique(block[day == number])) == 1, "a day is in one block"
    sizes = [len(np.unique(day[block == number])) for number in np.unique(block)]
    assert len(sizes) == min(folds, len(np.unique(day)))
    assert max(sizes) - min(sizes) <= 1


def test_every_trip_is_predicted_once_by_a_model_that_has_not_seen_its_block() -> None:
    day = np.random.default_rng(0).integers(0, 9, 500)
    asked = np.zeros(500, np.int64)

    def fit_and_predict(train: Ints, test: Ints, block: int) -> Floats:
        assert not np.intersect1d(day[train], day[test]).size
        assert len(train) + len(test) == len(day)
        asked[test] += 1
        return np.full((len(test), 3), block, np.float32)

    found = out_of_fold(day, 3, fit_and_predict)
    assert (asked == 1).all()
    np.testing.assert_array_equal(found[:, 0], blocks_of(day, 3))


def too_narrow(rng: np.random.Generator, sd: Array) -> tuple[Floats, Array]:
    """(ratios, actual): intervals of a model that takes the noise for 0.1."""
    middle = rng.uniform(0.8, 1.3, len(sd))
    ratios = middle[:, None] * np.exp(0.1 * np.array([-1.2816, 0.0, 1.2816]))
    return ratios.astype(np.float32), middle * np.exp(sd * rng.normal(size=len(sd)))


def coverage(ratios: Floats, actual: Array, offsets: tuple[float, float]) -> float:
    found = seconds_of(ratios, np.ones(len(actual)), offsets)
    return float(((actual >= found[:, 0]) & (actual <= found[:, 2])).mean())


def test_calibration_on_the_last_days_follows_a_change_and_all_days_average_it() -> None:
    rng = np.random.default_rng(1)
    day = np.repeat(np.arange(24), 400)
    sd = np.where(day >= 20, 0.25, 0.12)
    ratios, actual = too_narrow(rng, sd)
    offsets = offsets_by_days(ratios, actual, day)
    later = too_narrow(rng, np.full(4_000, 0.25))
    assert coverage(*later, (0.0, 0.0)) < 0.5
    assert coverage(*later, offsets["last_4"]) == pytest.approx(0.8, abs=0.03)
    assert coverage(*later, offsets["all_days"]) < coverage(*later, offsets["last_17"]) < 0.75


def test_calibration_on_the_last_days_rolls_with_the_builds_and_recovers_after_a_change() -> None:
    rng = np.random.default_rng(2)
    day = np.repeat(np.arange(20), 500)
    sd = np.where(day >= 10, 0.25, 0.12)
    ratios, actual = too_narrow(rng, sd)

    def covered(today: int) -> float:
        """Coverage of a day whose build knows the days before it."""
        past, then = day < today, day == today
        return coverage(ratios[then], actual[then], offsets_by_days(ratios[past], actual[past], day[past])["last_4"])

    assert covered(9) == pytest.approx(0.8, abs=0.06)
    assert covered(10) < 0.6, "the first day after a change is not covered"
    assert covered(14) == pytest.approx(0.8, abs=0.06)
