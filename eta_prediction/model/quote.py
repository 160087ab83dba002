"""The time that a rider is quoted: a quantile of the prediction, times a random factor in the explored bucket.

How often riders cancel, and how many trips are late, can be measured on explored quotes also for times that the policy
would never give. The seed of a request determines its quote, so a replay repeats it.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from eta_prediction.config import QuoteConfig
from eta_prediction.domain import EXPLORE_POLICY, SERVING_POLICY, Array

NORMAL = NormalDist()
FACTORS = (0.7, 0.85, 1.0, 1.2, 1.4)
"""factors of explored quotes, drawn uniformly"""


def quoted_s(quantiles: Array, level: float) -> float:
    """Seconds of the quantile `level` in [0.1, 0.9], given P10, P50 and P90 float64[3].

    The times between are those of a law whose logarithm is normal on each side of its median.
    """
    low, middle, high = np.log(np.maximum(quantiles, 1.0)).tolist()
    side = high - middle if level >= 0.5 else middle - low
    return float(np.exp(middle + side * NORMAL.inv_cdf(level) / NORMAL.inv_cdf(0.9)))


def decide(quantiles: Array, config: QuoteConfig, seed: int) -> tuple[float, str, float]:
    """(quoted seconds, policy, propensity) of one request, given P10, P50 and P90 float64[3]."""
    usual, share = quoted_s(quantiles, config.quote_quantile), config.explore_share
    chance = np.random.default_rng(seed).random(2) if share else (1.0, 0.0)
    if chance[0] >= share:
        return usual, SERVING_POLICY, 1.0 - share
    return usual * FACTORS[int(chance[1] * len(FACTORS))], EXPLORE_POLICY, share / len(FACTORS)
