"""From what a model says to a probability that money can be counted by: calibration curves, and the way back from a
sample in which only a share of what was not clicked is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.floating[Any]]
SUREST = 1 - 1e-6
"""in float32 a network that is sure says 1, and no price can be made of infinite odds"""


@dataclass(frozen=True)
class Curve:
    """Monotone: `platt` has a slope in `x` and a shift in `y`, `isotonic` the points of a broken line."""

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
        """The same of one probability, in plain numbers: an array so short takes ten times as long."""
        if self.method == "platt":
            inside = min(max(p, 1e-12), SUREST)
            return 1 / (1 + math.exp(-(self.x[0] * math.log(inside / (1 - inside)) + self.y[0])))
        return float(np.interp(p, self.x, self.y)) if self.method == "isotonic" else p

    def of_log_odds(self, z: Values) -> Values:
        """The same of probabilities that are given as log-odds."""
        if self.method == "platt":
            z = self.x[0] * z + self.y[0]
        p: Values = 1 / (1 + np.exp(-z))
        return self(p) if self.method == "isotonic" else p


def curve_from(values: Mapping[str, Any]) -> Curve:
    """The curve that a manifest holds. Raises `KeyError` or `TypeError` if it holds none."""
    return Curve(values["method"], tuple(values["x"]), tuple(values["y"]))


def logit(p: Values) -> Values:
    inside = np.minimum(np.maximum(p, 1e-12), SUREST)  # as np.clip does, in half of its time
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
