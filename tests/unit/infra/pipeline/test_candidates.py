"""Candidate batches keep their columns aligned, and merging sources removes duplicates and loses no candidate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from infra.pipeline.candidates import Candidates, merge

found_lists = st.lists(st.lists(st.integers(-3, 12) | st.integers(-(2**63), 2**63 - 1), max_size=15), max_size=6)


def as_arrays(found: list[list[int]]) -> list[np.ndarray]:
    return [np.array(ids, np.int64) for ids in found]


def batch(count: int) -> Candidates:
    ids = np.arange(count, dtype=np.int64) * 10
    return Candidates(ids, np.arange(count, dtype=np.uint32), {"x": ids.astype(np.float32) / 10})


@given(found=found_lists)
@settings(deadline=None)
def test_merge_keeps_first_appearance_order_without_duplicates(found: list[list[int]]) -> None:
    merged = merge(as_arrays(found))
    assert merged.ids.tolist() == list(dict.fromkeys(i for ids in found for i in ids))
    assert merged.ids.dtype == np.int64


@given(found=found_lists)
@settings(deadline=None)
def test_merge_sets_one_bit_per_source_of_a_candidate(found: list[list[int]]) -> None:
    merged = merge(as_arrays(found))
    assert merged.sources.dtype == np.uint32
    for candidate, mask in zip(merged.ids.tolist(), merged.sources.tolist(), strict=True):
        assert mask == sum(1 << source for source, ids in enumerate(found) if candidate in ids)


def test_merge_supports_32_sources() -> None:
    found = [np.empty(0, np.int64)] * 31 + [np.array([5])]
    assert merge(found).sources.tolist() == [1 << 31]


@given(index=hnp.arrays(np.intp, st.integers(0, 12), elements=st.integers(0, 7)))
@settings(deadline=None, max_examples=50)
def test_take_by_position_keeps_columns_aligned(index: np.ndarray) -> None:
    taken = batch(8).take(index)
    np.testing.assert_array_equal(taken.ids, index * 10)
    np.testing.assert_array_equal(taken.sources, index)
    np.testing.assert_array_equal(taken.columns["x"], index)


@given(keep=hnp.arrays(np.bool_, 8))
@settings(deadline=None, max_examples=50)
def test_take_by_mask_keeps_columns_aligned(keep: np.ndarray) -> None:
    taken = batch(8).take(keep)
    np.testing.assert_array_equal(taken.ids, np.flatnonzero(keep) * 10)
    np.testing.assert_array_equal(taken.sources, np.flatnonzero(keep))
    np.testing.assert_array_equal(taken.columns["x"], np.flatnonzero(keep))


def test_with_columns_does_not_modify_the_original_batch() -> None:
    before = batch(3)
    score = np.array([3, 1, 2], np.float32)
    after = before.with_columns(score=score, x=score + 1)
    assert set(before.columns) == {"x"}
    assert before.columns["x"].tolist() == [0, 1, 2]
    assert after.columns["score"].tolist() == [3, 1, 2]
    assert after.columns["x"].tolist() == [4, 2, 3]
    np.testing.assert_array_equal(after.ids, before.ids)


def test_with_columns_rejects_a_column_of_the_wrong_length() -> None:
    with pytest.raises(ValueError, match="column score has 2 values for 3"):
        batch(3).with_columns(score=np.zeros(2, np.float32))


def test_candidates_reject_source_masks_of_the_wrong_length() -> None:
    with pytest.raises(ValueError, match="sources"):
        Candidates(np.arange(3), np.zeros(4, np.uint32))


def test_empty_batch_supports_all_operations() -> None:
    empty = merge([])
    assert len(empty) == 0
    assert len(empty.with_columns(x=np.empty(0, np.float32)).take(np.empty(0, np.bool_))) == 0
