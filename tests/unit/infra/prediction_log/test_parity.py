"""Parity compares two computations of a feature value by value, including missing values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from infra.prediction_log.parity import Skew, compare

columns = hnp.arrays(np.float32, st.integers(1, 20), elements=st.floats(-1e6, 1e6, width=32) | st.just(math.nan))


@given(values=columns)
@settings(deadline=None, max_examples=50)
def test_compare_finds_no_skew_between_equal_sides(values: np.ndarray) -> None:
    assert compare({"x": values}, {"x": values.copy()}) == []


@given(values=columns, data=st.data())
@settings(deadline=None, max_examples=50)
def test_compare_finds_one_changed_value_in_both_directions(values: np.ndarray, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(values) - 1))
    other = values.copy()
    other[at] = 1 if np.isnan(values[at]) else values[at] * 2 + 1
    if other[at] == values[at]:
        other[at] += 1
    for left, right in ((values, other), (other, values)):
        (skew,) = compare({"x": left}, {"x": right})
        assert skew.feature == "x"
        assert skew.share == pytest.approx(1 / len(values))
        assert skew.largest > 0


def test_missing_value_against_a_number_is_an_infinite_difference() -> None:
    assert compare({"x": [math.nan, 1]}, {"x": [0, 1]}) == [Skew("x", 0.5, math.inf)]


def test_two_missing_values_are_equal() -> None:
    assert compare({"x": [math.nan]}, {"x": [math.nan]}) == []


def test_difference_within_the_tolerance_is_not_reported() -> None:
    assert compare({"x": [100.0]}, {"x": [100.5]}, tolerance=0.01) == []
    assert len(compare({"x": [100.0]}, {"x": [100.5]}, tolerance=0.001)) == 1


def test_share_counts_rows_for_list_features() -> None:
    left, right = np.zeros((4, 3)), np.zeros((4, 3))
    right[2] = (0, 0, 7)
    assert compare({"x": left}, {"x": right}) == [Skew("x", 0.25, 7.0)]


def test_compare_lists_the_worst_feature_first() -> None:
    left = {"fine": [1, 2], "some": [1, 2], "all": [1, 2]}
    right = {"fine": [1, 2], "some": [1, 3], "all": [2, 3]}
    assert [skew.feature for skew in compare(left, right)] == ["all", "some"]


def test_different_shapes_are_a_full_difference() -> None:
    assert compare({"x": np.zeros(3)}, {"x": np.zeros(4)}) == [Skew("x", 1.0, math.inf)]


def test_compare_rejects_sides_with_different_features() -> None:
    with pytest.raises(ValueError, match=r"\['left', 'right'\]"):
        compare({"both": [1], "left": [1]}, {"both": [1], "right": [1]})


def test_compare_finds_a_difference_between_large_ids() -> None:
    assert compare({"follows": [[1_000_000]]}, {"follows": [[1_000_001]]}) == [Skew("follows", 1.0, 1.0)]


def test_integers_beyond_float_precision_are_compared_exactly() -> None:
    left, right = np.array([2**53, 1]), np.array([2**53 + 1, 1])
    assert [skew.share for skew in compare({"x": left}, {"x": right})] == [0.5]
