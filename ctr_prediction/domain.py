"""Words that all rooms of the design share. Ids are rows of the world's tables, int64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]

LOGGING_POLICY, RANDOM_POLICY = "auction_v1", "uniform_v1"
DEVICES = ("phone", "tablet", "desktop")
AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
GENDERS = ("f", "m", "x")
NONE = -1
"""in the place of an ad: nobody bid, or all that bid are capped, paused or below the reserve"""
