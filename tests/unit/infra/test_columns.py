"""Rows by id equal `np.isin`, in parts of any length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import columns
from infra.columns import rows_of

IDS = st.lists(st.integers(0, 9), max_size=12)


@given(ids=IDS, wanted=st.sets(st.integers(0, 15)), part=st.integers(1, 13))
def test_rows_of_wanted_ids_equal_those_of_isin(ids: list[int], wanted: set[int], part: int) -> None:
    has, asked = np.array(ids, np.int32), np.array(sorted(wanted), np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "ROWS_AT_ONCE", part)
        found = rows_of(has, asked)
    assert found.dtype == np.int64
    assert found.tolist() == np.flatnonzero(np.isin(has, asked)).tolist()
