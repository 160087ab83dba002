"""Re-ranking never goes over the cap, never loses or doubles a post, and keeps the order of the best."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from feed_ranking.online.rerank import within_creator_cap

creators_lists = st.lists(st.integers(0, 6), max_size=60)


@given(creators=creators_lists, cap=st.integers(1, 5))
def test_no_creator_goes_over_the_cap_and_the_best_are_kept(creators: list[int], cap: int) -> None:
    keep = within_creator_cap(np.array(creators, np.int64), cap)
    seen: dict[int, int] = {}
    for creator, kept in zip(creators, keep.tolist(), strict=True):
        assert kept == (seen.get(creator, 0) < cap)
        seen[creator] = seen.get(creator, 0) + 1


@given(creators=creators_lists)
def test_a_cap_that_nobody_reaches_removes_nothing(creators: list[int]) -> None:
    assert within_creator_cap(np.array(creators, np.int64), 60).all()


@given(creators=creators_lists, cap=st.integers(1, 5))
def test_a_lower_cap_keeps_a_subset(creators: list[int], cap: int) -> None:
    ids = np.array(creators, np.int64)
    assert not (within_creator_cap(ids, cap) & ~within_creator_cap(ids, cap + 1)).any()
