"""Users and the segments that campaigns target.

Lesson: every user has a segment, but few users have a long history. A model can learn the tastes of a segment; a user's
own tendency to click (`user_click`) shows only in that user's click rate. Gender has no effect, which a model must
learn.
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
    """int64[users]: `segment`, `age`, `gender`, `device` (the usual one). `leaning` float64[users], in logits;
    `activity` float64[users] sums to 1."""

    segment: Ints
    age: Ints
    gender: Ints
    device: Ints
    leaning: Array
    activity: Array


def make_people(config: WorldConfig) -> People:
    """Draw the users. Segment sizes are proportional to 1 / rank ** 0.6."""
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
