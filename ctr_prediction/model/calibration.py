"""Calibration curves, and recalibration of predictions from a training sample with downsampled negatives."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.floating[Any]]
SUREST = 1 - 1e-6
"""maximum probability; in float32 a confident network returns 1, whose odds are infinite and give no price"""


@dataclass(frozen=True)
class Curve:
    """A monotone calibration curve. `platt` has a slope in `x` and a shift in `y`; `isotonic` has the points of a
    piecewise linear function."""

    method: str
    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, p: Values) -> Values:
        """float[n] probabilities -> float[n]."""
        if self.method == "platt":
            odds: Values = np.exp(self.x[0] * logit(p) + self.y[0])
            return odds / (1 + odds)
        if self.method == "isotonic":
            return np.asarray(np.interp(p, self.x, self.y), p.dtype)
        return p

    def one(self, p: float) -> float:
        """The curve at one probability, in plain Python: numpy takes ten times as long."""
        if self.method == "platt":
            inside = min(max(p, 1e-12), SUREST)
            return 1 / (1 + math.exp(-(self.x[0] * math.log(inside / (1 - inside)) + self.y[0])))
        return float(np.interp(p, self.x, self.y)) if self.method == "isotonic" else p

    def of_log_odds(self, z: Values) -> Values:
        """The curve at probabilities given as log-odds: float[n] -> float[n]."""
        if self.method == "platt":
            z = self.x[0] * z + self.y[0]
        p: Values = 1 / (1 + np.exp(-z))
        return self(p) if self.method == "isotonic" else p


def curve_from(values: Mapping[str, Any]) -> Curve:
    """The curve in a manifest. Raises `KeyError` or `TypeError` if it is missing."""
    return Curve(values["method"], tuple(values["x"]), tuple(values["y"]))


def logit(p: Values) -> Values:
    inside = np.minimum(np.maximum(p, 1e-12), SUREST)  # twice as fast as np.clip
    found: Values = np.log(inside / (1 - inside))
    return found


def in_the_sample(p: Values, negative_rate: float) -> Values:
    """q, the probability of a click in a sample with all clicks and a share w of the rest: p / (p + w (1 - p))."""
    found: Values = p / (p + negative_rate * (1 - p))
    return found


def recalibrated(q: Values, negative_rate: float) -> Values:
    """p from q, the way back: q / (q + (1 - q) / w). (He et al., Practical Lessons from Predicting Clicks on Ads at
    Facebook, ADKDD 2014.)"""
    found: Values = q / (q + (1 - q) / negative_rate)
    return found
