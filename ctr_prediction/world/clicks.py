"""The click probability of an examined ad, and the delay of a click's report.

Lessons: **ad fatigue** (the tenth impression earns fewer clicks than the first), the **hour** (each segment has its own
best hour), and **delayed feedback**: some clicks are reported hours later, so a log that ends now contains false
negatives (Chapelle, KDD 2014).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctr_prediction.config import WorldConfig
from ctr_prediction.domain import AGE_BANDS, Array, Ints
from infra.columns import DAY_S, HOUR_S


def wear_out_logit(config: WorldConfig, seen: Ints) -> Array:
    """Ad fatigue in logits; `seen`: number of earlier impressions of the ad by the user."""
    found: Array = -config.wear_out * np.log2(1.0 + seen)
    return found


def best_hour(config: WorldConfig, segment: Ints) -> Array:
    """The best hour of the day (UTC) of each segment; best hours are spread over all segments."""
    found: Array = 24.0 * np.asarray(segment, np.float64) / config.segments
    return found


def hour_logit(config: WorldConfig, segment: Ints, at_ts: Array) -> Array:
    hour = np.asarray(at_ts) % DAY_S / HOUR_S
    found: Array = config.hour_click * np.cos(2 * np.pi * (hour - best_hour(config, segment)) / 24)
    return found


def age_logit(config: WorldConfig, age: Ints) -> Array:
    found: Array = config.age_click * (np.asarray(age, np.float64) - (len(AGE_BANDS) - 1) / 2)
    return found


def draw_delay_s(config: WorldConfig, rng: np.random.Generator, count: int) -> Array:
    """float64[count] seconds between a click and its report: exponential, with a larger mean for `slow_share`."""
    is_slow = rng.random(count) < config.slow_share
    mean_s = np.where(is_slow, config.slow_delay_s, config.fast_delay_s)
    found: Array = rng.exponential(1.0, count) * mean_s
    return found


def sigmoid(logit: npt.ArrayLike) -> Array:
    found: Array = 1.0 / (1.0 + np.exp(-np.asarray(logit, np.float64)))
    return found
