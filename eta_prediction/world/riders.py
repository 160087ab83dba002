"""Quotes of the old system, and riders that cancel when they are quoted late.

Whether a rider cancels depends on the quote alone, so the law of a trip's time is the same for those that stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.config import RiderConfig
from eta_prediction.domain import Array, Bools, Ints


@dataclass(frozen=True)
class Quotes:
    """`seconds` and `propensity` float64[n]; `is_explore` bool[n]: the quotes of the policy `explore`."""

    seconds: Array
    is_explore: Bools
    propensity: Array


def draw_quotes(config: RiderConfig, profile_s: Array, rng: np.random.Generator) -> Quotes:
    """The quotes of the logging policy, for routes that take `profile_s` float64[n] at the profile."""
    n, factors = len(profile_s), np.array(config.explore_factors)
    is_explore = rng.random(n) < config.explore_share
    which: Ints = rng.integers(0, len(factors), n)
    usual = config.quote_factor * profile_s + config.quote_extra_s
    propensity = np.where(is_explore, config.explore_share / len(factors), 1 - config.explore_share)
    return Quotes(usual * np.where(is_explore, factors[which], 1.0), is_explore, propensity)


def hoped_s(config: RiderConfig, free_s: Array) -> Array:
    """float64[n]: the time that a rider hopes for."""
    return config.hoped_factor * free_s + config.hoped_extra_s


def p_cancel(config: RiderConfig, quoted_s: Array, free_s: Array) -> Array:
    """float64[n]: the probability that a rider cancels after a quote. `free_s` is the route's free-flow time."""
    late = np.log(quoted_s / hoped_s(config, free_s))
    found: Array = 1 / (1 + np.exp(-config.cancel_bias - config.cancel_slope * late))
    return found
