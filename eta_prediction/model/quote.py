"""Which of the predicted times a rider is quoted: a quantile, interpolated between P10, P50 and P90."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from eta_prediction.domain import Array

NORMAL = NormalDist()


def quoted_s(quantiles: Array, level: float) -> float:
    """Seconds of the quantile `level` in [0.1, 0.9], given P10, P50 and P90 float64[3].

    The times between are those of a law whose logarithm is normal on each side of its median.
    """
    low, middle, high = np.log(np.maximum(quantiles, 1.0)).tolist()
    side = high - middle if level >= 0.5 else middle - low
    return float(np.exp(middle + side * NORMAL.inv_cdf(level) / NORMAL.inv_cdf(0.9)))
