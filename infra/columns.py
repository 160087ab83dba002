"""Arrow columns of timestamps and lists, and units of time in seconds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

HOUR_S, DAY_S = 3_600.0, 86_400.0


def seconds(at: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Convert datetime64[n] to seconds since the epoch float64[n]; NaT becomes NaN."""
    micros = at.astype("datetime64[us]")
    return np.where(np.isnat(micros), np.nan, micros.astype(np.int64) / 1e6)


def timestamps(at_s: npt.ArrayLike) -> pa.Array:
    """Convert seconds since the epoch to an Arrow column of timestamps (UTC, microseconds); NaN becomes null."""
    values = np.asarray(at_s, np.float64)
    is_missing = np.isnan(values)
    micros = np.where(is_missing, 0, values * 1e6).astype(np.int64)
    return pa.array(micros, mask=is_missing).cast(pa.timestamp("us", tz="UTC"))


def lists(matrix: npt.NDArray[Any]) -> pa.Array:
    """Convert an array [n, m] to a column of n lists of m values."""
    return ragged(matrix.ravel(), np.full(len(matrix), matrix.shape[1]))


def ragged(values: npt.NDArray[Any], lengths: npt.NDArray[np.integer[Any]]) -> pa.Array:
    """Convert concatenated `values` to a column of lists; `lengths` int[n] holds the length of each list."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
