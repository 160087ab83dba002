"""Rain in the city: a Markov chain over traffic steps, one state for the whole city."""

from __future__ import annotations

import numpy as np

from eta_prediction.config import TrafficConfig
from eta_prediction.domain import Array


def draw_rain(config: TrafficConfig, rng: np.random.Generator, before: float, steps: int) -> Array:
    """float64[steps], 1 in rain: the steps that follow the state `before`."""
    found, state = np.empty(steps), before
    for k, u in enumerate(rng.random(steps)):
        changes = u < (config.rain_ends if state else config.rain_begins)
        state = 1.0 - state if changes else state
        found[k] = state
    return found
