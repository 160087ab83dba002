"""A shift of the world: the users of some segments click more often, or less often, on every ad.

The parameter `size` is added to the click logit of these users: 0.7 about doubles a low click rate. Users, campaigns,
pages and everything that a service knows of them stay.

Lesson: **drift by segment**. The calibration of all clicks moves by a fraction of what that of a segment moves, so a
monitor has to look at segments. The auction ranks by predicted clicks: while the model expects too few clicks of a
segment, it sells the slots of its users to the wrong ads and too cheaply.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ctr_prediction.config import WorldConfig
from ctr_prediction.domain import Ints
from ctr_prediction.world.truth import World
from infra.simulation.streams import stream

SHIFTED_SHARE = 0.25
"""share of the segments whose users click more or less often"""


def shifted_segments(config: WorldConfig) -> Ints:
    """int64: the segments that the shift concerns, ascending. They depend only on the world's seed."""
    count = max(round(SHIFTED_SHARE * config.segments), 1)
    return np.sort(stream(config.seed, "shift").permutation(config.segments)[:count]).astype(np.int64)


def shifted(world: World, size: float) -> World:
    """The world after a shift of `size`, in logits of a click. A size of 0 returns `world` itself."""
    if size == 0:
        return world
    people = world.people
    is_shifted = np.isin(people.segment, shifted_segments(world.config))
    return replace(world, people=replace(people, leaning=people.leaning + size * is_shifted))
