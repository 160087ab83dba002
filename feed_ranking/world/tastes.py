"""Users: tastes, region, activity and declared topics.

Trade-off caused: tastes differ, so one ranking for all users loses value. Tastes are hidden, so a model must learn them
from follows, declared topics and reactions, and most users have few reactions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed_ranking.config import WorldConfig
from infra.simulation.streams import stream

FAVOURITE_TOPICS = 3
FAVOURITE_LIFT = 2.0
REGION_SHARES = (0.4, 0.3, 0.2, 0.1)


@dataclass(frozen=True)
class People:
    """`taste` float32[users, topics], centred per user; `activity` float64[users] sums to 1; `region` int64[users];
    `declared` int64[users, 3]: topics that the user declared once, a noisy function of taste."""

    taste: npt.NDArray[np.float32]
    activity: npt.NDArray[np.float64]
    region: npt.NDArray[np.int64]
    declared: npt.NDArray[np.int64]


def make_people(config: WorldConfig) -> People:
    rng = stream(config.seed, "people")
    taste = rng.normal(0.0, 0.6, (config.users, config.topics)).astype(np.float32)
    favourites = rng.random(taste.shape, np.float32).argsort(axis=1)[:, :FAVOURITE_TOPICS]
    np.put_along_axis(taste, favourites, np.take_along_axis(taste, favourites, 1) + FAVOURITE_LIFT, axis=1)
    taste -= taste.mean(axis=1, keepdims=True)
    activity = rng.gamma(1.5, 1.0, config.users) + 0.05
    region = rng.choice(len(REGION_SHARES), config.users, p=REGION_SHARES)
    ticked = taste + rng.gumbel(size=taste.shape).astype(np.float32)
    return People(
        taste=taste,
        activity=activity / activity.sum(),
        region=region.astype(np.int64),
        declared=np.sort(np.argsort(-ticked, axis=1)[:, :FAVOURITE_TOPICS], axis=1).astype(np.int64),
    )
