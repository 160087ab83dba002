"""Sparse Adagrad updates only the rows of a batch, and the loss corrects for negative sampling."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from ctr_prediction.model.calibration import in_the_sample, recalibrated
from ctr_prediction.offline.networks.sparse_adagrad import START, TINY, SparseTable, update_rows
from ctr_prediction.offline.networks.wide_deep import sample_loss

ROWS, WIDTH, BATCH, RATE = 12, 3, 8, 0.3
Array = npt.NDArray[np.float64]
SHARES, RATES = st.floats(0.01, 1.0), st.floats(0.002, 0.5)


def table(seed: int) -> SparseTable:
    """Return a table with values and accumulated squares of earlier updates."""
    rng = np.random.default_rng(seed)
    values, squares = rng.normal(size=(ROWS, WIDTH)), START + rng.random((ROWS, WIDTH))
    return SparseTable(jnp.asarray(values, jnp.float32), jnp.asarray(squares, jnp.float32))


def gradients(seed: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng([seed, 1]).normal(size=(BATCH, WIDTH)).astype(np.float32)


@given(st.permutations(range(ROWS)), st.integers(0, 10_000))
@settings(deadline=None, max_examples=40)
def test_update_of_distinct_rows_equals_dense_adagrad(order: list[int], seed: int) -> None:
    optimizer = optax.adagrad(RATE)
    sparse = SparseTable.of(table(seed).values)
    dense, state = sparse.values, optimizer.init(sparse.values)
    for step in range(3):
        rows, gradient = np.array(order[step : step + BATCH]), gradients(seed + step)
        sparse = update_rows(sparse, jnp.asarray(rows), jnp.asarray(gradient), RATE)
        update, state = optimizer.update(jnp.zeros((ROWS, WIDTH)).at[rows].set(gradient), state)
        dense = optax.apply_updates(dense, update)
    np.testing.assert_allclose(sparse.values, dense, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sparse.squares, state[0].sum_of_squares, rtol=1e-6)


@given(st.lists(st.integers(0, ROWS - 1), min_size=BATCH, max_size=BATCH), st.integers(0, 10_000))
@settings(deadline=None, max_examples=60)
def test_repeated_row_gets_all_its_gradients_and_accumulates_their_squares(ids: list[int], seed: int) -> None:
    """Each occurrence acts as one update, scaled by the accumulated squares of all occurrences."""
    before, gradient = table(seed), gradients(seed)
    after = update_rows(before, jnp.asarray(ids), jnp.asarray(gradient), RATE)
    values, squares = (np.asarray(part, np.float64) for part in before)
    for row, one in zip(ids, gradient.astype(np.float64), strict=True):
        squares[row] += one**2
    for row, one in zip(ids, gradient.astype(np.float64), strict=True):
        values[row] -= RATE * one / np.sqrt(squares[row] + TINY)
    np.testing.assert_allclose(after.values, values, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(after.squares, squares, rtol=1e-6)


@given(st.lists(st.integers(0, ROWS - 1), min_size=BATCH, max_size=BATCH), st.integers(0, 10_000))
@settings(deadline=None, max_examples=40)
def test_rows_outside_the_batch_stay_bitwise_equal(ids: list[int], seed: int) -> None:
    before = table(seed)
    after = update_rows(before, jnp.asarray(ids), jnp.asarray(gradients(seed)), RATE)
    untouched = np.setdiff1d(np.arange(ROWS), ids)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(np.asarray(new)[untouched], np.asarray(old)[untouched])
        assert (np.asarray(new)[ids] != np.asarray(old)[ids]).any(axis=1).all()


def loss_in_sample(logit: float, clicks: float, others: float, share: float, log_looks: float) -> float:
    """Return the loss of `clicks` clicked rows and `others` other rows with the same logit."""
    of = sample_loss(jnp.full(2, logit, jnp.float32), jnp.full(2, log_looks, jnp.float32), jnp.array([1.0, 0.0]), share)
    return float(np.asarray(of, np.float64) @ [clicks, others])


@given(RATES, SHARES, st.floats(0.3, 1.0))
@settings(deadline=None, max_examples=60)
def test_loss_is_minimal_at_the_true_click_rate_not_at_the_sample_rate(rate: float, share: float, looks: float) -> None:
    """The sample keeps all clicks of 1,000 impressions and `share` of the others. `looks` is the examination rate."""
    clicks, others = 1000 * rate * looks, 1000 * share * (1 - rate * looks)
    slope = jax.grad(
        lambda logit: (
            sample_loss(logit * jnp.ones(2), jnp.log(looks) * jnp.ones(2), jnp.array([1.0, 0.0]), share)
            @ jnp.array([clicks, others])
        )
    )
    at = np.log(rate / (1 - rate))
    assert abs(float(slope(at))) < 2e-4 * (clicks + others)
    assert float(slope(at - 0.3)) < 0 < float(slope(at + 0.3))


def test_fit_on_a_drawn_sample_recovers_the_true_click_rate() -> None:
    rng, rate, share, count = np.random.default_rng(4), 0.03, 0.1, 200_000
    clicked = rng.random(count) < rate
    others = float((~clicked & (rng.random(count) < share)).sum())
    clicks = float(clicked.sum())

    def learned(assumed_share: float) -> float:
        found = minimize_scalar(
            loss_in_sample, (-6.0, 0.0), args=(clicks, others, assumed_share, 0.0), options={"xtol": 1e-5}
        )
        return float(1 / (1 + np.exp(-found.x)))

    assert learned(share) == pytest.approx(rate, rel=4 / np.sqrt(clicks))
    assert learned(1.0) == pytest.approx(clicks / (clicks + others), rel=0.01), (
        "without the correction, the fit gives the sample rate q"
    )
    assert learned(1.0) > 7 * rate


@given(st.floats(-12.0, 12.0), SHARES, st.floats(-2.0, 0.0))
@settings(deadline=None, max_examples=60)
def test_loss_is_the_cross_entropy_of_the_sample_probability(logit: float, share: float, log_looks: float) -> None:
    p = np.exp(min(log_looks - np.logaddexp(0.0, -logit), -1e-6))
    q = in_the_sample(np.array([p]), share)[0]
    clicked, not_clicked = (loss_in_sample(logit, *of, share, log_looks) for of in ((1.0, 0.0), (0.0, 1.0)))
    assert clicked == pytest.approx(-np.log(q), rel=2e-3, abs=2e-5)
    assert not_clicked == pytest.approx(-np.log1p(-q), rel=2e-3, abs=2e-5)


def test_loss_and_gradient_are_finite_for_extreme_logits() -> None:
    logit = jnp.array([-80.0, -30.0, 0.0, 30.0, 80.0])

    def total(z: jax.Array, clicked: float) -> jax.Array:
        return sample_loss(z, jnp.zeros(5), jnp.full(5, clicked), 0.1).sum()

    for clicked in (0.0, 1.0):
        assert np.isfinite(total(logit, clicked))
        assert np.isfinite(np.asarray(jax.grad(total)(logit, clicked))).all()


@given(st.floats(1e-6, 1 - 1e-6), st.floats(0.005, 1.0))
@settings(deadline=None, max_examples=200)
def test_sampling_correction_and_its_inverse_cancel(p: float, share: float) -> None:
    one = np.array([p])
    q = in_the_sample(one, share)
    assert q[0] >= p * (1 - 1e-12), "in the sample a click is more likely"
    assert recalibrated(q, share)[0] == pytest.approx(p, rel=1e-9)
    assert in_the_sample(recalibrated(one, share), share)[0] == pytest.approx(p, rel=1e-9)


def test_sampling_correction_has_known_values() -> None:
    p = np.array([0.02, 0.5])
    np.testing.assert_allclose(in_the_sample(p, 0.1), [0.02 / 0.118, 0.5 / 0.55])
    np.testing.assert_allclose(recalibrated(np.array([0.2, 0.5]), 0.1), [0.2 / 8.2, 1 / 11])
