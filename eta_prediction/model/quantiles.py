"""From the outputs of a model to P10, P50 and P90 in seconds: order, base, and conformal adjustment.

A model predicts actual over corrected time. Its quantiles may cross, so they are sorted. The adjustment moves P10 and
P90 by a factor that past days measured (conformalised quantile regression: Romano, Patterson and Candès, NeurIPS 2019).
"""

from __future__ import annotations

import numpy as np

from eta_prediction.domain import Array
from eta_prediction.model.corrected_route import LEVELS
from eta_prediction.model.inputs import Floats


def seconds_of(ratios: Floats, base_s: Array, offsets: tuple[float, float]) -> Array:
    """float64[n, 3] seconds, ascending, from ratios float32[n, 3] and base times float64[n].

    `offsets` widen the interval downwards and upwards, in widths of its lower and upper half.
    """
    found = np.maximum(ratios.astype(np.float64), 0.05)
    found.sort(axis=1)
    low, middle, high = found.T
    found[:, 0] = np.maximum(np.minimum(middle - (1 + offsets[0]) * (middle - low), middle), 0.05)
    found[:, 2] = np.maximum(middle + (1 + offsets[1]) * (high - middle), middle)
    found *= base_s[:, None]
    return found


def scores(ratios: Floats, actual: Array) -> tuple[Array, Array]:
    """(below, above) float64[n]: by how many widths the actual ratio lies outside the raw interval on either side."""
    low, middle, high = np.sort(np.maximum(ratios.astype(np.float64), 0.05), axis=1).T
    least = 1e-3
    below = (middle - actual) / np.maximum(middle - low, least) - 1
    above = (actual - middle) / np.maximum(high - middle, least) - 1
    return below, above


def pinball_rows(actual: Array, quantiles: Array) -> Array:
    """float64[n]: the mean pinball loss of P10, P50 and P90 float64[n, 3], in the unit of `actual` float64[n]."""
    error, levels = actual[:, None] - quantiles, np.array(LEVELS)
    found: Array = np.maximum(levels * error, (levels - 1) * error).mean(axis=1)
    return found


def offsets_of(below: Array, above: Array, share: float = 0.1) -> tuple[float, float]:
    """The adjustment with which the share `share` of past trips would have been below, and as many above."""
    n = len(below)
    level = min(1.0, (1 - share) * (n + 1) / n) if n else 1.0
    return (float(np.quantile(below, level)), float(np.quantile(above, level))) if n else (0.0, 0.0)
