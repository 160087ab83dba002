"""Figures of the click model: expected AUC, calibration, bootstrap intervals and the release gate."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from ctr_prediction.domain import NONE, SLOTS, AdFeatures, Context, UserFeatures
from ctr_prediction.evaluation.gate import comparison_on
from ctr_prediction.evaluation.holdout import (
    BINS,
    Judged,
    Truth,
    auc_gains,
    calibration_error,
    debias_gain,
    expected_auc,
    reliability,
    slices,
    weighted_correlation,
    weighted_ranks,
)
from ctr_prediction.offline.baselines import BASELINES
from ctr_prediction.offline.samples import Sample
from infra.evaluation.gate import GateRefused, check_gate
from infra.evaluation.resample import Resample
from infra.registry.mlflow_registry import MlflowRegistry
from infra.training.click_metrics import Array, auc_at

ROWS = st.integers(2, 12)
UNUSED = cast(MlflowRegistry, None)
"""the registry is not used without a champion"""


def of_rows(values: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[Array, Array]]:
    """(truth, score), both float64[n]; scores come from four values, so ties are common."""
    return ROWS.flatmap(
        lambda n: st.tuples(
            hnp.arrays(np.float64, n, elements=values),
            hnp.arrays(np.float64, n, elements=st.sampled_from([0.1, 0.2, 0.5, 0.9])),
        )
    )


@given(of_rows(st.floats(0.01, 0.99)))
@settings(deadline=None, max_examples=100)
def test_expected_auc_weights_pairs_by_their_probability(rows: tuple[Array, Array]) -> None:
    truth, score = rows
    above = total = 0.0
    for click, its_score in zip(truth, score, strict=True):
        for other, other_score in zip(truth, score, strict=True):
            weight = click * (1 - other)
            above += weight * (1.0 if its_score > other_score else 0.5 if its_score == other_score else 0.0)
            total += weight
    assert expected_auc(truth, score) == pytest.approx(above / total)


@given(of_rows(st.sampled_from([0.0, 1.0])).filter(lambda rows: 0 < rows[0].sum() < len(rows[0])))
@settings(deadline=None, max_examples=50)
def test_expected_auc_of_certain_clicks_is_the_auc(rows: tuple[Array, Array]) -> None:
    truth, score = rows
    assert expected_auc(truth, score) == pytest.approx(roc_auc_score(truth, score))


@given(of_rows(st.floats(0.01, 0.99)), st.integers(0, 1000))
@settings(deadline=None, max_examples=50)
def test_weighted_auc_equals_the_auc_of_repeated_rows(rows: tuple[Array, Array], seed: int) -> None:
    truth, score = rows
    times = np.random.default_rng(seed).integers(0, 4, len(truth))
    times[0] += 1
    place = np.unique(score, return_inverse=True)[1]
    repeated = expected_auc(np.repeat(truth, times), np.repeat(score, times))
    assert auc_at(place, truth, times.astype(np.float64)) == pytest.approx(repeated)


@given(of_rows(st.floats(0.01, 0.99)))
@settings(deadline=None, max_examples=50)
def test_expected_auc_is_highest_for_the_true_probabilities(rows: tuple[Array, Array]) -> None:
    truth, score = rows
    assert expected_auc(truth, score) <= expected_auc(truth, truth) + 1e-12


def test_calibration_error_of_known_cases() -> None:
    truth = np.linspace(0.001, 0.1, 50 * BINS)
    assert calibration_error(truth, truth) == pytest.approx(0.0)
    assert calibration_error(1.2 * truth, truth) == pytest.approx(0.2)
    assert calibration_error(0.5 * truth, truth) == pytest.approx(0.5)
    # too high for one half and too low for the other: correct on average, wrong in each half
    low, high = np.full(500, 0.01), np.full(500, 0.03)
    predicted = np.concatenate([low + 0.005, high - 0.005])
    assert predicted.mean() == pytest.approx(0.02)
    assert calibration_error(predicted, np.concatenate([low, high])) == pytest.approx(0.25)


def test_calibration_error_ignores_differences_within_equal_predictions() -> None:
    truth = np.tile([0.01, 0.03], 500)
    assert calibration_error(np.full(1000, 0.02), truth) == pytest.approx(0.0)


@given(st.integers(BINS, 400), st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_reliability_bins_cover_all_impressions_in_ascending_order(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, truth = rng.random(count), rng.random(count)
    predicted, true, counts = (np.array(column) for column in zip(*reliability(p, truth), strict=True))
    assert counts.sum() == count
    assert counts.max() - counts.min() <= 1
    assert (np.diff(predicted) >= 0).all()
    assert (predicted @ counts, true @ counts) == (pytest.approx(p.sum()), pytest.approx(truth.sum()))


def test_student_keeps_the_full_gain_as_teacher_and_none_as_baseline() -> None:
    truth = _truth()
    noisy = _disturbed(truth.p_click, 1.0, seed=1)
    others = dict.fromkeys(BASELINES, noisy)
    good = _disturbed(truth.p_click, 0.2, seed=2)
    for student, kept in ((good, 1.0), (noisy, 0.0)):
        judged = _judged(truth, {"student": student, "teacher": good, **others})
        found = {figure.id: figure for figure in auc_gains(judged, Resample.of(judged.sample.request_id))}
        assert found["student_keeps"].value == pytest.approx(kept)
        gain = expected_auc(truth.p_click, student) - expected_auc(truth.p_click, noisy)
        gains = [found[f"auc_gain_{name}"] for name in BASELINES]
        assert [figure.value for figure in gains] == pytest.approx([gain] * len(BASELINES))
        assert all(figure.low <= figure.value <= figure.high for figure in gains)
        assert found["auc_gains_sure"].value == pytest.approx(min(figure.low for figure in gains))


def test_auc_gains_are_not_sure_against_an_equal_or_better_baseline() -> None:
    truth = _truth()
    p = {name: _disturbed(truth.p_click, 1.0, seed=1) for name in (*BASELINES, "student", "teacher")}
    better = _judged(truth, {**p, "student": truth.p_click, "teacher": truth.p_click, "lightgbm": truth.p_click})
    sure = {figure.id: figure for figure in auc_gains(better, Resample.of(better.sample.request_id))}
    assert sure["auc_gains_sure"].value == 0.0  # equal to the best baseline
    student = _disturbed(truth.p_click, 0.3, seed=4)
    worse = _judged(truth, {**p, "student": student, "teacher": student, "lightgbm": truth.p_click})
    unsure = {figure.id: figure for figure in auc_gains(worse, Resample.of(worse.sample.request_id))}
    assert unsure["auc_gain_lightgbm"].value < 0 < unsure["auc_gain_lr"].value
    assert unsure["auc_gains_sure"].met is False


def test_debias_gain_is_the_difference_of_rank_correlations() -> None:
    truth = _truth()
    backwards = {"teacher": truth.relevance**2, "naive": -truth.relevance}  # only ranks count
    turned = {"teacher": -truth.relevance, "naive": truth.relevance**2}
    for relevance, gain in ((backwards, 2.0), (turned, -2.0)):
        judged = _judged(truth, {}, relevance)
        found = {figure.id: figure for figure in debias_gain(judged, judged)}
        assert found["debias_gain"].value == pytest.approx(gain)
        assert found["debias_gain_all"].value == pytest.approx(gain)
        assert found["debias_gain_low"].met is (gain > 0)


def test_slices_select_the_rows_of_their_name() -> None:
    sample = _sample(8)
    sample.users.shown[:4] = 3.0
    sample.users.audience[1, 0] = 5
    sample.ads.shown[6] = 100.0
    found = {name: np.flatnonzero(rows).tolist() for name, rows in slices(sample).items()}
    assert found["new_users"] == [4, 5, 6, 7]
    assert found["audience"] == [1]
    assert found["new_ads"] == [0, 1, 2, 3, 4, 5, 7]
    assert [found[f"slot_{slot}"] for slot in range(SLOTS)] == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert sorted(found["phone"] + found["tablet"] + found["desktop"]) == list(range(8))


def test_gate_rejects_models_no_better_than_a_constant_rate(tmp_path: Path) -> None:
    truth = _truth(20_000)
    rate = np.full_like(truth.p_click, truth.p_click.mean())
    comparison = comparison_on(_judged(truth, {}).sample)
    with pytest.raises(GateRefused, match="not better than a constant click rate"):
        check_gate(comparison, 3 * rate, None, UNUSED, tmp_path)
    shuffled = np.random.default_rng(5).permutation(truth.p_click)
    with pytest.raises(GateRefused, match="not better than a constant click rate"):
        check_gate(comparison, shuffled, None, UNUSED, tmp_path)
    assert "first model" in check_gate(comparison, truth.p_click, None, UNUSED, tmp_path)


def _truth(count: int = 4000) -> Truth:
    relevance = 1 / (1 + np.exp(-np.random.default_rng(0).normal(-2.0, 1.0, count)))
    return Truth(relevance * (1.0 + np.arange(count) % SLOTS) ** -0.8, relevance)


def _disturbed(p: Array, spread: float, seed: int) -> Array:
    noise: Array = np.exp(np.random.default_rng(seed).normal(0.0, spread, len(p)))
    return p * noise


def _judged(truth: Truth, p: dict[str, Array], relevance: dict[str, Array] | None = None) -> Judged:
    sample = _sample(len(truth.p_click))
    sample.clicked[:] = np.random.default_rng(1).random(len(sample)) < truth.p_click
    return Judged(sample, truth, p, relevance or {})


def _sample(count: int) -> Sample:
    """Return pages of `SLOTS` impressions each, with users and ads without history."""
    rows = np.arange(count)
    none, counts = np.zeros(count, np.float32), np.zeros((count, SLOTS), np.float32)
    nothing = np.full((count, 1), NONE)
    users = UserFeatures(rows % 5, rows % 6, rows % 3, nothing.copy(), counts.copy(), none, nothing, nothing, nothing)
    ads = AdFeatures(rows % 7, rows % 11, counts.copy(), none, counts.copy(), none)
    context = Context(rows % 4, rows % 3, rows.astype(np.float64))
    page, slot, seen = rows // SLOTS, rows % SLOTS, np.zeros(count, np.int64)
    clicked, weight = np.zeros(count, np.float32), np.ones(count, np.float32)
    return Sample(users, ads, context, rows, page, rows, rows % 13, slot, seen, clicked, weight)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=30))
@settings(deadline=None)
def test_weighted_rank_correlation_equals_that_of_the_repeated_rows(rows: list[tuple[int, int, int]]) -> None:
    x, y, times = np.array(rows).T
    left, right = np.repeat(x, times), np.repeat(y, times)
    assume(len(np.unique(left)) > 1 and len(np.unique(right)) > 1)
    weight = times.astype(np.float64)
    one, other = (weighted_ranks(np.unique(values, return_inverse=True)[1], weight) for values in (x, y))
    found = weighted_correlation(one, other, weight)
    assert found == pytest.approx(spearmanr(left, right).statistic, abs=1e-9)
