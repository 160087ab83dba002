"""Bootstrap intervals resample whole groups, and their width follows the number of groups."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.evaluation.resample import Resample, count_matrix, draw_counts, interval_of

Array = npt.NDArray[np.float64]
SEEDS = st.integers(0, 10_000)


@given(n=st.integers(0, 30), seed=SEEDS)
@settings(deadline=None, max_examples=20)
def test_bootstrap_draw_has_as_many_cases_as_the_sample(n: int, seed: int) -> None:
    counts = count_matrix(n, 5, seed)
    assert counts.shape == (5, n)
    assert (counts.sum(axis=1) == n).all()
    np.testing.assert_array_equal(np.stack(list(draw_counts(n, 5, seed))), counts)


def test_bootstrap_draws_cases_uniformly() -> None:
    counts = count_matrix(20, 5_000)
    np.testing.assert_allclose(counts.mean(axis=0), 1.0, atol=4 / np.sqrt(5_000))
    assert counts.var(axis=0).mean() == pytest.approx(1 - 1 / 20, rel=0.05)


def test_interval_ignores_non_finite_values() -> None:
    assert interval_of([np.nan, np.inf]) == (0.0, 0.0)
    assert interval_of([1.0, np.nan, 1.0]) == (1.0, 1.0)
    assert interval_of(np.linspace(0, 1, 1001)) == pytest.approx((0.025, 0.975))


@given(groups=st.lists(st.integers(0, 4), min_size=1, max_size=20), seed=SEEDS)
@settings(deadline=None, max_examples=20)
def test_rows_and_weights_are_the_same_bootstrap_draw(groups: list[int], seed: int) -> None:
    resample = Resample.of(np.array(groups))
    for weight, rows in zip(resample.weights(4, seed), resample.rows(4, seed), strict=True):
        np.testing.assert_array_equal(np.bincount(rows, minlength=len(groups)), weight)


def test_row_figure_and_weight_figure_agree() -> None:
    group, value = noise(60, seed=1, within=0.5)
    resample = Resample.of(group)
    by_rows = resample.row_figure("mean", "mean", lambda rows: float(value[rows].mean()), ">= 0", ">= 1")
    by_weight = resample.figure("mean", "mean", lambda weight: float(weight @ value / weight.sum()), ">= 0")
    assert (by_rows.value, by_rows.low, by_rows.high) == pytest.approx((by_weight.value, by_weight.low, by_weight.high))
    assert resample.spread(value, np.ones(600)) == pytest.approx((by_rows.low, by_rows.high))


def noise(groups: int, seed: int, within: float = 0.0) -> tuple[npt.NDArray[np.int64], Array]:
    """Ten rows per group that share one draw, and differ from each other by `within`."""
    rng = np.random.default_rng(seed)
    value = np.repeat(rng.normal(size=groups), 10) + within * rng.normal(size=groups * 10)
    order = rng.permutation(groups * 10)
    return np.repeat(np.arange(groups), 10)[order] * 7, value[order]


@given(seed=SEEDS, groups=st.integers(5, 40))
@settings(deadline=None, max_examples=20)
def test_interval_contains_the_value_and_is_reproducible(seed: int, groups: int) -> None:
    group, value = noise(groups, seed, within=0.5)
    low, high = Resample.of(group).row_interval(lambda rows: float(value[rows].mean()), seed=seed)
    assert low < value.mean() < high
    assert (low, high) == Resample.of(group).row_interval(lambda rows: float(value[rows].mean()), seed=seed)


def test_interval_width_follows_the_number_of_independent_groups() -> None:
    """The mean of n independent draws has a standard error of 1 / sqrt(n), however often each is repeated."""
    for groups in (50, 800):
        group, value = noise(groups, seed=3)
        low, high = Resample.of(group).row_interval(lambda rows, value=value: float(value[rows].mean()))
        assert high - low == pytest.approx(2 * 1.96 / np.sqrt(groups), rel=0.3)


def test_intervals_cover_the_true_mean_in_about_95_percent_of_runs() -> None:
    hits = 0
    for seed in range(100):
        group, value = noise(40, seed, within=0.1)
        low, high = Resample.of(group).row_interval(lambda rows, value=value: float(value[rows].mean()), seed=seed)
        hits += low < 0 < high
    assert 86 <= hits <= 99, "within chance of 95 of 100, slightly fewer with few groups"


@given(group=st.lists(st.integers(0, 4), min_size=2, max_size=20))
@settings(deadline=None, max_examples=20)
def test_bootstrap_draws_whole_groups_and_keeps_their_number(group: list[int]) -> None:
    groups = np.array(group)
    draws: list[list[int]] = []

    def statistic(rows: npt.NDArray[np.intp]) -> float:
        draws.append(np.bincount(rows, minlength=len(groups)).tolist())
        return 0.0

    Resample.of(groups).row_interval(statistic)
    for times in draws:
        of_group = {name: {t for t, g in zip(times, group, strict=True) if g == name} for name in group}
        assert all(len(counts) == 1 for counts in of_group.values())
        assert sum(min(counts) for counts in of_group.values()) == len(of_group)
    if len(set(group)) > 1:
        assert len({tuple(times) for times in draws}) > 1, "draws differ from each other"


def test_bootstrap_draws_whole_requests_and_keeps_their_number() -> None:
    requests = np.array([7, 7, 3, 9, 9, 9, 5])
    for weight in Resample.of(requests).weights(20):
        of_request = {request: set(weight[requests == request].tolist()) for request in (3, 5, 7, 9)}
        assert all(len(drawn) == 1 for drawn in of_request.values())
        assert sum(min(drawn) for drawn in of_request.values()) == 4


def test_identical_impressions_on_a_page_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(3).normal(0.0, 1.0, 400)
    alone = Resample.of(np.arange(400)).spread(values, np.ones(400))
    fourfold = np.repeat(values, 4)
    by_page = Resample.of(np.repeat(np.arange(400), 4)).spread(fourfold, np.ones(1600))
    as_if_independent = Resample.of(np.arange(1600)).spread(fourfold, np.ones(1600))
    assert by_page == pytest.approx(alone)
    half_width = 1.96 * values.std() / 20
    assert (by_page[1] - by_page[0]) / 2 == pytest.approx(half_width, rel=0.25)
    assert (as_if_independent[1] - as_if_independent[0]) / 2 == pytest.approx(half_width / 2, rel=0.25)
