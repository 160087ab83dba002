"""Tells places on earth from other pairs of numbers."""

from __future__ import annotations

import numpy as np

from eta_prediction.domain import Array, Bools


def is_place(lon: Array, lat: Array) -> Bools:
    """bool[n]: points that are longitudes and latitudes. (0, 0) is the mark of a missing point."""
    with np.errstate(invalid="ignore"):
        found: Bools = (np.abs(lon) <= 180) & (np.abs(lat) <= 90) & ((np.abs(lon) > 1e-6) | (np.abs(lat) > 1e-6))
    return found
