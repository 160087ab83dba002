"""Draws without replacement from each row of a pool, with exact propensities."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]
LEAST_MASS = 1e-300
"""Smallest divisor of a propensity. It prevents a division by zero in a row without remaining mass."""


def plackett_luce(rng: np.random.Generator, logits: Array, k: int) -> tuple[Ints, Array]:
    """Draw `k` columns of each row of float64[n, m] without replacement, with p ∝ exp(logits).

    Returns the columns int64[n, k] and their propensities float64[n, k]: the probability of each column given the
    columns drawn before it. The draw adds Gumbel noise and takes the `k` largest values (Kool et al., ICML 2019).
    Columns at -inf come last, with propensity 0. A row may consist only of such columns.
    """
    noisy = logits + rng.gumbel(size=logits.shape)
    top = np.argpartition(-noisy, k - 1, axis=1)[:, :k]
    top = np.take_along_axis(top, np.argsort(-np.take_along_axis(noisy, top, 1), axis=1), 1)
    highest = logits.max(axis=1, keepdims=True)
    weights = np.exp(logits - np.where(np.isfinite(highest), highest, 0.0))
    chosen = np.take_along_axis(weights, top, 1)
    above = np.cumsum(chosen, axis=1) - chosen
    left = np.maximum(weights.sum(axis=1, keepdims=True) - above, LEAST_MASS)
    return top, np.minimum(chosen / left, 1.0)


def is_double(pool: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """bool[n, m]: True where an earlier column of the same row has the same value."""
    order = np.argsort(pool, axis=1, kind="stable")
    ordered = np.take_along_axis(pool, order, 1)
    again = np.zeros(pool.shape, bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    double = np.empty_like(again)
    np.put_along_axis(double, order, again, 1)
    return double
