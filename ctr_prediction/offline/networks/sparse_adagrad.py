"""Row-sparse AdaGrad for large tables of which a batch touches few rows (Duchi, Hazan and Singer, JMLR 2011).

A dense optimiser updates every row at every step: dense Adam over 260,000 crosses takes longer than the network itself.
Here a step reads and writes only the rows of its batch. The learning rate of a row falls with its past gradients, so
rare crosses take large steps on their few clicks and frequent crosses converge.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

START, TINY = 0.1, 1e-7
"""as in optax.adagrad: the initial sum of squares, and the epsilon in the denominator"""


class SparseTable(NamedTuple):
    """`values` float32[rows, width], and `squares` of the same shape: the sums of squared gradients."""

    values: jax.Array
    squares: jax.Array

    @classmethod
    def of(cls, values: jax.Array) -> SparseTable:
        return cls(values, jnp.full_like(values, START))


def update_rows(table: SparseTable, rows: jax.Array, gradient: jax.Array, rate: jax.Array | float) -> SparseTable:
    """One step on `rows` int[n] with `gradient` float32[n, width], one for each occurrence of a row.

    A row that occurs several times in the batch gets the sum of its gradients, and the sum of their squares.
    """
    squares = table.squares.at[rows].add(gradient**2)
    step = gradient / jnp.sqrt(squares[rows] + TINY)
    return SparseTable(table.values.at[rows].add(-rate * step), squares)
