"""Answers what no system can know: the true value of a slate, and the best one.

It conditions on the planted truth and on what is observable at request time; never on noise drawn later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed_ranking.config import WorldConfig
from feed_ranking.world.people import People, make_people
from feed_ranking.world.posts import Posts, make_posts
from feed_ranking.world.reactions import click_if_examined, examination


@dataclass(frozen=True)
class World:
    """The planted truth of one configuration. Made from the seed alone, in memory, in a moment."""

    config: WorldConfig
    people: People
    posts: Posts


def make_world(config: WorldConfig) -> World:
    posts = make_posts(config)
    return World(config, make_people(config, posts.creator_topic), posts)


@dataclass(frozen=True)
class Oracle:
    """True probabilities and values of one world."""

    world: World

    def p_click(
        self, users: npt.NDArray[np.int64], shown: npt.NDArray[np.int64], position: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """True p(click) of posts shown to users at positions (from 0); all three broadcast together."""
        return examination(self.world.config, position) * self.relevance(users, shown)

    def relevance(self, users: npt.NDArray[np.int64], shown: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """True p(click | the user looks at it)."""
        return click_if_examined(self.world.config, self.world.people, self.world.posts, users, shown)

    def slate_value(self, users: npt.NDArray[np.int64], slates: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Expected clicks: float64[n] for `users` int64[n] and `slates` int64[n, k] of post ids, -1 where empty."""
        position = np.arange(slates.shape[1])
        p = self.p_click(users[:, None], np.maximum(slates, 0), position[None, :])
        value: npt.NDArray[np.float64] = np.where(slates >= 0, p, 0.0).sum(axis=1)
        return value
