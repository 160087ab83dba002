"""Users and the segments they are sold by.

Lesson: a segment is what is known of everyone, the user's own history of few. What a segment likes can be learned; that
one user clicks at everything shows only in that user's own click rate (`user_click`). Gender changes nothing, which a
model must find out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctr_prediction.config import WorldConfig
from ctr_prediction.domain import AGE_BANDS, DEVICES, GENDERS, Array, Ints
from infra.simulation.streams import stream

SEGMENT_EXPONENT = 0.6
DEVICE_SHARES = (0.65, 0.1, 0.25)


@dataclass(frozen=True)
class People:
    """All int64[users] unless said: `segment`, `age`, `gender`, `device` that they mostly use; `leaning`
    float64[users], in logits; `activity` float64[users] sums to 1."""

    segment: Ints
    age: Ints
    gender: Ints
    device: Ints
    leaning: Array
    activity: Array


def make_people(config: WorldConfig) -> People:
    """Segments are unequal, as 1 / rank ** 0.6."""
    rng = stream(config.seed, "people")
    size = np.arange(1.0, config.segments + 1) ** -SEGMENT_EXPONENT
    activity = rng.gamma(1.0, 1.0, config.users) + 0.05
    return People(
        segment=rng.choice(config.segments, config.users, p=size / size.sum()),
        age=rng.integers(0, len(AGE_BANDS), config.users),
        gender=rng.choice(len(GENDERS), config.users, p=(0.49, 0.49, 0.02)),
        device=rng.choice(len(DEVICES), config.users, p=DEVICE_SHARES),
        leaning=rng.normal(0.0, config.user_click, config.users),
        activity=activity / activity.sum(),
    )
