"""Users: what they like, whom they follow, how often they come.

Trade-off caused: tastes differ, so one ranking for all loses clicks; tastes are hidden, so they must be learned
from what was shown. The follow graph is a cheap, honest hint at them, and a bubble.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed_ranking.config import WorldConfig
from feed_ranking.world.streams import stream

FAVOURITE_TOPICS = 3
FAVOURITE_LIFT = 2.0
MAX_FOLLOWS = 64


@dataclass(frozen=True)
class People:
    """`taste` float32[users, topics] in logits; `follows` int64[users, MAX_FOLLOWS] creator ids, ascending, -1
    where there is none, and the same as a table `edges` bool[users, creators]; `activity` float64[users] sums to 1."""

    taste: npt.NDArray[np.float32]
    follows: npt.NDArray[np.int64]
    edges: npt.NDArray[np.bool_]
    activity: npt.NDArray[np.float64]

    def is_following(self, users: npt.NDArray[np.int64], creators: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """bool, in the shape of `users` and `creators` broadcast together."""
        return self.edges[users, creators]


def make_people(config: WorldConfig, creator_topic: npt.NDArray[np.int64]) -> People:
    """Draw users. A user follows creators by their fame (preferential attachment) times homophily in taste."""
    rng = stream(config.seed, "people")
    taste = rng.normal(0.0, 0.6, (config.users, config.topics))
    favourites = rng.random(taste.shape).argsort(axis=1)[:, :FAVOURITE_TOPICS]
    np.put_along_axis(taste, favourites, np.take_along_axis(taste, favourites, 1) + FAVOURITE_LIFT, axis=1)
    taste -= taste.mean(axis=1, keepdims=True)
    activity = rng.gamma(1.5, 1.0, config.users) + 0.05
    follows = _follow(config, taste, creator_topic)
    edges = np.zeros((config.users, config.creators), bool)
    who, slot = np.nonzero(follows >= 0)
    edges[who, follows[who, slot]] = True
    return People(
        taste=taste.astype(np.float32),
        follows=follows,
        edges=edges,
        activity=activity / activity.sum(),
    )


def _follow(
    config: WorldConfig, taste: npt.NDArray[np.float64], creator_topic: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The edges that preferential attachment converges to: fame is Zipf-distributed over creators."""
    rng = stream(config.seed, "graph")
    fame = 1.0 / rng.permutation(np.arange(1, config.creators + 1)) ** 0.8
    count = np.clip(rng.poisson(config.follows_mean, config.users), 1, min(MAX_FOLLOWS, config.creators // 2))
    weight = np.log(fame)[None, :] + config.homophily * taste[:, creator_topic]
    order = np.argsort(-(weight + rng.gumbel(size=weight.shape)), axis=1)[:, :MAX_FOLLOWS]
    follows = np.full((config.users, MAX_FOLLOWS), -1, np.int64)
    follows[:, : order.shape[1]] = np.where(np.arange(order.shape[1])[None, :] < count[:, None], order, -1)
    padded = np.where(follows < 0, np.iinfo(np.int64).max, follows)
    padded.sort(axis=1)
    return np.where(padded == np.iinfo(np.int64).max, -1, padded)
