"""Encodes a quote's arrays as JSON, and decodes them bit for bit."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np
import numpy.typing as npt

from eta_prediction.domain import Ints

EDGES, INPUTS = "<i4", "<f4"
"""numpy dtypes of a quote's `edges` and `x`"""


def pack(values: npt.NDArray[Any], dtype: str) -> str:
    """An array as base64 of its bytes, row by row, after conversion to the numpy dtype `dtype`."""
    return binascii.b2a_base64(np.ascontiguousarray(values, dtype).data, newline=False).decode()


def unpack(text: str, dtype: str) -> npt.NDArray[Any]:
    """The array [n] that `pack` encoded."""
    return np.frombuffer(base64.b64decode(text), dtype)


def edges_of(text: str) -> Ints:
    """int64[k]: the route of a quote."""
    return unpack(text, EDGES).astype(np.int64)


def inputs_of(text: str) -> npt.NDArray[np.float32]:
    """float32[1, NAMES]: the model's inputs of a quote; no columns for a quote without a route."""
    return unpack(text, INPUTS).reshape(1, -1)
