"""AdaGrad for large tables, of which a batch touches few rows (Duchi, Hazan and Singer, JMLR 2011).

A dense optimiser walks through every row at every step: with Adam over 260,000 crosses that alone takes longer than the
network. Here a step reads and writes the rows of its batch and no others. What a row has learned so far slows it down,
so rare crosses move far on their few clicks and common ones settle.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

START, TINY = 0.1, 1e-7
"""as in optax.adagrad: what the sum of squares begins with, and what is added below the line"""


class SparseTable(NamedTuple):
    """`values` float32[rows, width], and `squares` of the same shape: the sum of squared gradients of each."""

    values: jax.Array
    squares: jax.Array

    @classmethod
    def of(cls, values: jax.Array) -> SparseTable:
        return cls(values, jnp.full_like(values, START))


def update_rows(table: SparseTable, rows: jax.Array, gradient: jax.Array, rate: jax.Array | float) -> SparseTable:
    """One step on `rows` int[n] with `gradient` float32[n, width], one for each occurrence of a row.

    A row that stands in the batch several times gets the sum of its gradients, and adds up their squares one by one.
    """
    squares = table.squares.at[rows].add(gradient**2)
    step = gradient / jnp.sqrt(squares[rows] + TINY)
    return SparseTable(table.values.at[rows].add(-rate * step), squares)
