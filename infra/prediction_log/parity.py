"""Compares the values of a feature from two sources: online and offline, or item snapshot and feature store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Skew:
    """Difference of one feature between two sources: a `share` of the rows differs by at most `largest`."""

    feature: str
    share: float
    largest: float


def compare(
    left: Mapping[str, npt.ArrayLike], right: Mapping[str, npt.ArrayLike], *, tolerance: float = 1e-6
) -> list[Skew]:
    """The features that differ by more than `tolerance` (absolute plus relative), largest share first.

    Integers and booleans must be equal. Both sides map a feature to an array[n, ...] of the same rows in the same
    order. Two missing values (NaN) are equal; a missing value and a number differ. Arrays of different shapes give a
    share of 1. Raises `ValueError` if the two sides have different features.
    """
    if set(left) != set(right):
        raise ValueError(f"the two sides have different features: {sorted(set(left) ^ set(right))}")
    found = []
    for name in left:
        a, b = np.asarray(left[name], np.float64), np.asarray(right[name], np.float64)
        if a.shape != b.shape:
            found.append(Skew(name, 1.0, float("inf")))
            continue
        is_exact = all(np.asarray(side[name]).dtype.kind in "iub" for side in (left, right))  # ids must be equal
        if is_exact:
            differs = np.asarray(left[name]) != np.asarray(right[name])
        else:
            differs = ~np.isclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
        if differs.any():
            gap = np.abs(a - b)[differs]
            rows = differs.reshape(len(differs), -1).any(axis=1)
            found.append(Skew(name, float(rows.mean()), float(np.nan_to_num(gap, nan=np.inf).max())))
    return sorted(found, key=lambda skew: -skew.share)
