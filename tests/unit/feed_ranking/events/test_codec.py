"""The inputs of a logged prediction come back bit for bit, also from logs with the older compression."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from feed_ranking.events.codec import pack, unpack

FLOATS = st.floats(width=32, allow_nan=True, allow_infinity=True)


@given(inputs=arrays(np.float32, st.tuples(st.integers(0, 20), st.just(5)), elements=FLOATS))
def test_packed_inputs_come_back_bit_for_bit(inputs: np.ndarray) -> None:
    found = unpack(pack(inputs), 5)
    assert found.shape == inputs.shape
    assert found.tobytes() == inputs.tobytes()


def test_inputs_that_were_logged_with_zlib_are_read() -> None:
    inputs = np.arange(12, dtype=np.float32).reshape(3, 4)
    logged = base64.b64encode(zlib.compress(inputs.tobytes(), 1)).decode()
    np.testing.assert_array_equal(unpack(logged, 4), inputs)


def test_damaged_inputs_are_refused() -> None:
    cut = base64.b64encode(base64.b64decode(pack(np.ones((300, 4), np.float32)))[:-4]).decode()
    with pytest.raises((OSError, ValueError)):
        unpack(cut, 4)
