"""Encodes an auction's arrays and user features as JSON, and decodes them bit for bit."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ctr_prediction.domain import UserFeatures


def pack(values: npt.NDArray[Any], dtype: str) -> str:
    """An array as base64 of its bytes, row by row, after conversion to the numpy dtype `dtype`, such as "<f4"."""
    return binascii.b2a_base64(np.ascontiguousarray(values, dtype).data, newline=False).decode()


def unpack(text: str, dtype: str, width: int = 0) -> npt.NDArray[Any]:
    """The array that `pack` encoded: [n], or [n, width]."""
    values = np.frombuffer(base64.b64decode(text), dtype)
    return values.reshape(-1, width) if width else values


def user_as_lists(user: UserFeatures) -> dict[str, list[Any]]:
    """The features of one user: field -> list."""
    return {item.name: getattr(user, item.name)[0:1].ravel().tolist() for item in fields(UserFeatures)}


def user_from_lists(values: Mapping[str, Any], like: UserFeatures) -> UserFeatures:
    """Inverse of `user_as_lists`, with the dtypes and shapes of `like`. JSON keeps every float32 exactly."""
    return UserFeatures(
        **{
            name: np.asarray(values[name], array.dtype).reshape((1, -1) if array.ndim == 2 else (1,))
            for name, array in vars(like).items()
        }
    )
