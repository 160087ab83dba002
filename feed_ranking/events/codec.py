"""Encodes a prediction's ranker inputs and user features as JSON, and decodes them bit for bit."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa

from feed_ranking.domain import Floats, UserFeatures

ZSTANDARD = b"\x28\xb5\x2f\xfd"
"""the first bytes of every Zstandard frame"""


def pack(inputs: Floats) -> str:
    """float32[n, width] as base64 of Zstandard of its bytes (little-endian, row by row)."""
    codec = pa.Codec("zstd", compression_level=1)
    return base64.b64encode(codec.compress(np.ascontiguousarray(inputs, "<f4").tobytes(), asbytes=True)).decode()


def unpack(text: str, width: int) -> Floats:
    """float32[n, width]: the inputs that `pack` encoded. Logs from before Zstandard hold zlib."""
    packed = base64.b64decode(text)
    if packed.startswith(ZSTANDARD):
        content = pa.CompressedInputStream(pa.BufferReader(packed), "zstd").read()
    else:
        content = zlib.decompress(packed)
    return np.frombuffer(content, "<f4").reshape(-1, width).astype(np.float32)


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
