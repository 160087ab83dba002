"""Plackett-Luce draws match their stated propensities and handle excluded columns."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.simulation.draws import is_double, plackett_luce


def test_propensities_match_the_draw_frequencies() -> None:
    rng, rounds = np.random.default_rng(3), 40_000
    logits = rng.normal(0, 1.5, 8)
    top, propensity = plackett_luce(rng, np.tile(logits, (rounds, 1)), 3)
    for column in range(8):
        first = top[:, 0] == column
        assert first.mean() == pytest.approx(propensity[first, 0].mean(), abs=0.01)
    second = (top[:, 0] == 2) & (top[:, 1] == 5)
    assert second.sum() / (top[:, 0] == 2).sum() == pytest.approx(propensity[second, 1].mean(), abs=0.02)


def test_propensities_of_all_pairs_sum_to_one() -> None:
    logits = np.log(np.array([[4.0, 3.0, 2.0, 1.0]]))
    rng, drawn = np.random.default_rng(5), Counter[tuple[int, int]]()
    rounds = 20_000
    top, propensity = plackett_luce(rng, np.repeat(logits, rounds, axis=0), 2)
    stated = {(int(a), int(b)): float(p[0] * p[1]) for (a, b), p in zip(top, propensity, strict=True)}
    drawn.update((int(a), int(b)) for a, b in top)
    for pair, p in stated.items():
        assert drawn[pair] / rounds == pytest.approx(p, abs=4 * np.sqrt(p / rounds))
    assert sum(stated.values()) == pytest.approx(1.0)


@given(seed=st.integers(0, 1000), k=st.integers(1, 6))
def test_draw_has_no_repeated_and_no_excluded_columns(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(5, 10))
    logits[:, [1, 4]] = -np.inf
    top, propensity = plackett_luce(rng, logits, k)
    assert all(len(set(row)) == k for row in top.tolist())
    assert not np.isin(top, [1, 4]).any()
    assert ((propensity > 0) & (propensity <= 1)).all()


def test_columns_without_mass_come_last_with_propensity_zero() -> None:
    logits = np.array([[0.0, -np.inf, -np.inf], [-np.inf, -np.inf, -np.inf]])
    top, propensity = plackett_luce(np.random.default_rng(0), logits, 3)
    assert top[0, 0] == 0
    np.testing.assert_array_equal(propensity, [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=4))
def test_is_double_marks_values_that_appeared_earlier_in_the_row(rows: list[list[int]]) -> None:
    expected = [[value in row[:place] for place, value in enumerate(row)] for row in rows]
    np.testing.assert_array_equal(is_double(np.array(rows)), expected)
