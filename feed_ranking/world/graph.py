"""The follow graph: users follow famous creators (preferential attachment) and creators of liked topics (homophily).

Trade-off caused: follows are a cheap and reliable signal of taste, but they create a filter bubble. They favour famous
creators, and new creators have few followers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from feed_ranking.config import WorldConfig
from feed_ranking.world.creators import Creators
from feed_ranking.world.tastes import People
from infra.simulation.streams import stream

MAX_FOLLOWS = 100
BLOCK = 100_000


@dataclass(frozen=True)
class Graph:
    """Edges ordered by user, then creator: `user`, `creator` int32[edges]; the edges of user u are the slice
    `start[u]:start[u + 1]`."""

    user: npt.NDArray[np.int32]
    creator: npt.NDArray[np.int32]
    start: npt.NDArray[np.int64]
    keys: npt.NDArray[np.int64]
    creators: int

    def is_following(self, users: npt.NDArray[np.int64], creators: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """bool: whether each user follows each creator; `users` and `creators` broadcast together."""
        asked = np.asarray(users * np.int64(self.creators) + creators)
        found = np.minimum(np.searchsorted(self.keys, asked.ravel()), len(self.keys) - 1)
        is_edge: npt.NDArray[np.bool_] = (self.keys[found] == asked.ravel()).reshape(asked.shape)
        return is_edge


def make_graph(config: WorldConfig, people: People, creators: Creators) -> Graph:
    """Edges as preferential attachment produces them: fame follows a Zipf distribution over the initial creators.

    A user draws a topic by taste and fame, then a creator of that topic by fame. Creators that join later receive
    followers from the users that like their topic.
    """
    pairs = [_follow(config, people, creators, first) for first in range(0, config.users, BLOCK)]
    for day in range(config.days):
        pairs.append(_welcome(config, people, creators, day))
    keys = np.unique(np.concatenate([user * np.int64(len(creators)) + creator for user, creator in pairs]))
    user = keys // len(creators)
    return Graph(
        user=user.astype(np.int32),
        creator=(keys % len(creators)).astype(np.int32),
        start=np.searchsorted(user, np.arange(config.users + 1)),
        keys=keys,
        creators=len(creators),
    )


Pairs = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def _follow(config: WorldConfig, people: People, creators: Creators, first: int) -> Pairs:
    """The edges of users `first` to `first + BLOCK`."""
    old = config.creators_at_start
    fame = 1.0 / stream(config.seed, "fame").permutation(np.arange(1, old + 1)) ** config.fame_exponent
    by_topic = np.argsort(creators.topic[:old], kind="stable")
    mass = np.concatenate([[0.0], np.cumsum(fame[by_topic])])
    bounds = np.searchsorted(creators.topic[:old][by_topic], np.arange(config.topics + 1))
    low, high = mass[bounds[:-1]], mass[bounds[1:]]

    rng = stream(config.seed, "graph", first)
    taste = people.taste[first : first + BLOCK].astype(np.float64)
    count = np.clip(rng.poisson(config.follows_mean, len(taste)), 1, min(MAX_FOLLOWS, old // 2))
    user = np.repeat(np.arange(len(taste)), count)
    weight = np.cumsum((high - low) * np.exp(config.homophily * taste), axis=1)
    target = rng.random(len(user)) * weight[user, -1]
    topic = (weight[user] <= target[:, None]).sum(axis=1)
    place = low[topic] + rng.random(len(user)) * (high - low)[topic]
    creator = by_topic[np.clip(np.searchsorted(mass, place, side="right") - 1, 0, old - 1)]
    return user.astype(np.int64) + first, creator.astype(np.int64)


def _welcome(config: WorldConfig, people: People, creators: Creators, day: int) -> Pairs:
    """The first followers of the creators that join on `day`."""
    rng = stream(config.seed, "graph-new", day)
    first = config.creators_at_start + day * config.new_creators_per_day
    users, found = [], []

    @cache
    def liking_of(topic: int) -> npt.NDArray[np.float64]:
        return np.cumsum(np.exp(config.homophily * people.taste[:, topic], dtype=np.float64))

    for creator in range(first, first + config.new_creators_per_day):
        liking = liking_of(int(creators.topic[creator]))
        followers = np.searchsorted(liking, rng.random(rng.poisson(config.new_creator_followers)) * liking[-1])
        users.append(followers)
        found.append(np.full(len(followers), creator))
    return np.concatenate([*users, []]).astype(np.int64), np.concatenate([*found, []]).astype(np.int64)
