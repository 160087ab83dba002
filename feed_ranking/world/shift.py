"""A shift of the world: the tastes for some topics rotate among each other.

The parameter `size` in [0, 1] mixes the old tastes (0) with the rotated ones (1): a user who loved the first of these
topics loves the next one instead. Users, posts, follows and declared topics stay, so the features of a request are the
same as before at first.

Lesson: **concept drift**. P(click | features) changes while the features do not, so a monitor of features sees nothing,
and the loss on labels that have arrived shows it. Counts of clicks follow within their windows, and a model that was
trained before the shift still trusts follows and declared topics that no longer tell the taste.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from feed_ranking.config import WorldConfig
from feed_ranking.world.truth import World
from infra.simulation.streams import stream

SHIFTED_SHARE = 0.5
"""share of the topics whose tastes rotate"""


def shifted_topics(config: WorldConfig) -> npt.NDArray[np.int64]:
    """int64: the topics whose tastes rotate, in the order of the rotation. They depend only on the world's seed."""
    count = round(SHIFTED_SHARE * config.topics)
    return stream(config.seed, "shift").permutation(config.topics)[:count].astype(np.int64)


def shifted(world: World, size: float) -> World:
    """The world after a shift of `size` in [0, 1]. A size of 0 returns `world` itself."""
    if size == 0:
        return world
    topics = shifted_topics(world.config)
    taste = world.people.taste.copy()
    taste[:, topics] = (1 - size) * taste[:, topics] + size * taste[:, np.roll(topics, 1)]
    return replace(world, people=replace(world.people, taste=taste))
