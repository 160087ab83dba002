"""Calibration curves are monotone, return probabilities, and correct the bias of their fitting data."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import numpy.typing as npt
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctr_prediction.domain import SLOTS
from ctr_prediction.model.calibration import SUREST, Curve, curve_from, in_the_sample, logit
from ctr_prediction.offline.calibrate import fit_curve
from infra.training.click_metrics import log_loss_rows
from tests.support.ctr_market import bundle

Array = npt.NDArray[np.float64]
METHODS = ("platt", "isotonic", "none")
P = st.lists(st.floats(0.0, 1.0), min_size=2, max_size=20).map(lambda values: np.sort(np.array(values)))


def day(truth_of: float, seed: int = 0, count: int = 20_000) -> tuple[Array, Array, Array]:
    """(predicted, clicked, weight): the true rate is `truth_of` times the prediction."""
    rng = np.random.default_rng(seed)
    predicted = np.exp(rng.normal(-3.5, 0.8, count)).clip(1e-4, 0.5)
    return predicted, (rng.random(count) < truth_of * predicted).astype(np.float64), np.ones(count)


@pytest.mark.parametrize("method", METHODS)
@given(st.floats(0.3, 2.0), st.integers(0, 100), P)
@settings(deadline=None, max_examples=15)
def test_fitted_calibration_curve_is_monotone_and_returns_probabilities(
    method: str, truth_of: float, seed: int, p: Array
) -> None:
    curve = fit_curve(method, *day(truth_of, seed, 500))
    predicted = curve(p)
    assert predicted.shape == p.shape
    assert ((predicted >= 0) & (predicted <= 1)).all()
    assert (np.diff(predicted) >= -1e-12).all()
    assert np.isfinite(predicted).all()


@given(st.floats(0.5, 1.5), st.floats(-2.0, 2.0), P)
@settings(deadline=None, max_examples=100)
def test_platt_curve_is_logistic_in_linear_log_odds(slope: float, shift: float, p: Array) -> None:
    predicted = Curve("platt", (slope,), (shift,))(p)
    inside = np.clip(p, 1e-12, SUREST)
    np.testing.assert_allclose(predicted, 1 / (1 + np.exp(-(slope * np.log(inside / (1 - inside)) + shift))), rtol=1e-9)
    distinct = np.diff(inside) > 1e-9
    assert (np.diff(predicted)[distinct] > 0).all()


def test_golden_points_of_calibration_curves() -> None:
    p = np.array([0.02, 0.5, 0.9])
    np.testing.assert_allclose(Curve("platt", (1.0,), (0.0,))(p), p)
    np.testing.assert_allclose(Curve("platt", (1.0,), (np.log(2),))(p), [2 / 51, 2 / 3, 18 / 19])
    np.testing.assert_allclose(Curve("platt", (2.0,), (0.0,))(p), [1 / 2402, 0.5, 81 / 82])
    line = Curve("isotonic", (0.1, 0.3, 0.5), (0.2, 0.4, 0.4))
    np.testing.assert_allclose(line(np.array([0.0, 0.1, 0.2, 0.4, 0.9])), [0.2, 0.2, 0.3, 0.4, 0.4])
    assert Curve("none", (), ())(p) is p


def test_platt_curve_is_finite_at_probabilities_zero_and_one() -> None:
    p = np.array([0.0, 1.0], np.float32)
    predicted = Curve("platt", (1.0,), (0.1,))(p)
    assert np.isfinite(predicted).all()
    assert np.isfinite(logit(p)).all()
    assert 0 <= predicted[0] < 1e-6
    assert 1 - 1e-5 < predicted[1] <= 1
    assert predicted.dtype == np.float32


@pytest.mark.parametrize("method", METHODS)
def test_calibration_curve_survives_the_manifest(method: str) -> None:
    curve, p = fit_curve(method, *day(1.2, count=2_000)), np.linspace(0.001, 0.5, 50)
    again = curve_from(orjson.loads(orjson.dumps(asdict(curve))))
    assert again == curve
    np.testing.assert_array_equal(again(p), curve(p))
    with pytest.raises(KeyError):
        curve_from({})


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibration_curve_matches_the_click_rate_on_many_clicks(method: str) -> None:
    predicted, clicked, weight = day(1.25, count=200_000)
    corrected = fit_curve(method, predicted, clicked, weight)(predicted).astype(np.float64)
    noise = 1 / np.sqrt(clicked.sum())
    assert abs(clicked.sum() / predicted.sum() - 1) > 6 * noise, "the uncalibrated prediction is biased"
    assert corrected.sum() == pytest.approx(clicked.sum(), rel=4 * noise)
    assert log_loss_rows(clicked, corrected).sum() < log_loss_rows(clicked, predicted).sum() - 20


def test_platt_curve_shifts_little_on_few_clicks_and_more_on_many() -> None:
    """The prior assumes that a model of last week is accurate within 2%."""

    def shift(count: int) -> float:
        predicted, clicked, weight = day(1.25, count=count)
        return float(fit_curve("platt", predicted, clicked, weight)(np.array([0.03]))[0] / 0.03 - 1)

    assert abs(shift(300)) < 0.02
    assert 0.15 < shift(200_000) < 0.3


def test_calibration_fit_respects_row_weights() -> None:
    predicted, clicked, _ = day(1.1, count=60_000)
    rng = np.random.default_rng(1)
    kept = (clicked > 0) | (rng.random(len(predicted)) < 0.1)
    weight = np.where(clicked[kept] > 0, 1.0, 10.0)
    for method in ("platt", "isotonic"):
        whole = fit_curve(method, predicted, clicked, np.ones(len(predicted)))(predicted).mean()
        sample = fit_curve(method, predicted[kept], clicked[kept], weight)(predicted).mean()
        unweighted = fit_curve(method, predicted[kept], clicked[kept], np.ones(kept.sum()))(predicted).mean()
        assert sample == pytest.approx(whole, rel=0.03)
        assert unweighted > 1.5 * whole


def test_served_click_probability_follows_the_calibration_knob_in_every_slot() -> None:
    some = bundle()
    z = np.array([-30.0, -4.0, 0.0, 30.0], np.float32)
    looks, p = some.debiased.examination, 1 / (1 + np.exp(-z[:, None].astype(np.float64)))
    yes, no, raw = (
        some.p_click("student", z[:, None], np.arange(SLOTS), how) for how in ("yes", "no", "no_recalibration")
    )
    for predicted in (yes, no, raw):
        assert predicted.shape == (4, SLOTS)
        assert predicted.dtype == np.float32
        assert ((predicted >= 0) & (predicted <= 1)).all()
        assert (np.diff(predicted, axis=1) <= 0).all(), "a lower slot is looked at less"
        assert (np.diff(predicted, axis=0) >= 0).all()
    np.testing.assert_allclose(no, p * looks, rtol=1e-5)
    np.testing.assert_array_equal(yes, no)
    np.testing.assert_allclose(raw, in_the_sample(p * looks, some.negative_rate), rtol=1e-5)
    assert raw[1, 0] > 5 * no[1, 0]
    naive = some.p_click("naive", z[:, None], np.arange(SLOTS), "no")
    np.testing.assert_allclose(naive, p * some.undebiased.examination, rtol=1e-5)


def test_probability_of_one_slot_equals_that_of_all_slots() -> None:
    some = bundle()
    x = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    slot = np.arange(40) % SLOTS
    for network in ("student", "teacher", "naive"):
        z = getattr(some, network)(x)
        everywhere = some.p_click(network, z[:, None], np.arange(SLOTS))
        np.testing.assert_allclose(some.p_click(network, z, slot), everywhere[np.arange(40), slot], rtol=1e-6)


CURVES = (Curve("none", (), ()), Curve("platt", (0.8,), (-0.3,)), Curve("isotonic", (0.0, 0.1, 1.0), (0.0, 0.2, 0.9)))


@given(
    st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=8), st.sampled_from(CURVES), st.integers(0, SLOTS - 1)
)
@settings(deadline=None, max_examples=150)
def test_fast_paths_of_p_click_match_the_array_path(z: list[float], curve: Curve, slot: int) -> None:
    some, values = bundle(), np.array(z, np.float32)
    some = replace(some, curves=dict.fromkeys(some.curves, curve))
    for network in ("student", "naive"):
        for how in ("yes", "no", "no_recalibration"):
            whole = some.p_click(network, values, np.full(len(values), slot), how)
            one = [some.p_click(network, float(value), slot, how) for value in values]
            np.testing.assert_allclose(one, whole, rtol=2e-4, atol=1e-9)
            np.testing.assert_allclose(
                some.p_click(network, values, 0, how),
                some.p_click(network, values, np.zeros(len(values), np.int64), how),
                rtol=2e-4,
                atol=2e-6,
            )


def test_extreme_negative_logit_gives_a_valid_probability() -> None:
    assert 0 <= bundle().p_click("student", -3e38, 0) < 1e-6
