"""Draws users' reactions to slates from the true probabilities, and computes the expected reactions.

The generated history and the simulated visitors of `lab live` both use this module. A live log therefore has the same
mechanisms as the history: examination by position, creator fatigue, satiation, and ads that end sessions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import AD
from feed_ranking.world.clicks import Array
from feed_ranking.world.examination import examination
from feed_ranking.world.oracle import Oracle, PostTruth
from feed_ranking.world.rewards import draw_dwell_s
from feed_ranking.world.sessions import p_leave

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Screen:
    """n slates of k places: `users` int64[n] see them at `now_ts` float64[n]; the other arrays are [n, k].

    `posts` holds the true properties of the posts; entries with `is_ad` have no meaning. `depth` counts the items that
    the session showed before, `creator_before` those of the same creator.
    """

    users: Ints
    posts: PostTruth
    is_ad: Bools
    now_ts: Array
    depth: Ints
    creator_before: Ints

    @property
    def position(self) -> Ints:
        return np.broadcast_to(np.arange(self.is_ad.shape[1]), self.is_ad.shape)


@dataclass(frozen=True)
class Visits:
    """Drawn reactions, all [n, k]. Only places that are `reached` count: all up to the first with `leaves`."""

    clicked: Bools
    liked: Bools
    commented: Bools
    dwell_s: Array
    leaves: Bools

    @property
    def reached(self) -> Bools:
        before: Bools = np.cumsum(self.leaves, axis=1) - self.leaves == 0
        return before


@dataclass(frozen=True)
class Expected:
    """Expected reactions to slates that are shown. `reached` float64[n, k] is the probability that the user reaches an
    item. float64[n]: `clicks`, `dwell_s`, and the probabilities `ended_by_ad` (the session ends right after an ad) and
    `stays` (the session continues after the last place)."""

    reached: Array
    clicks: Array
    dwell_s: Array
    ended_by_ad: Array
    stays: Array


def draw_visits(oracle: Oracle, rng: np.random.Generator, screen: Screen) -> Visits:
    """Draw the reactions to slates. The order of the draws must not change, because the generated history depends on
    it."""
    config, shape = oracle.world.config, screen.is_ad.shape
    reaction = oracle.reaction_to(screen.users[:, None], screen.posts, screen.now_ts[:, None], screen.creator_before)
    clicked = (rng.random(shape) < examination(config, screen.position) * reaction.p_click) & ~screen.is_ad
    return Visits(
        clicked=clicked,
        liked=clicked & (rng.random(shape) < reaction.p_like),
        commented=clicked & (rng.random(shape) < reaction.p_comment),
        dwell_s=np.where(clicked, draw_dwell_s(config, reaction.dwell_s, rng), 0.0),
        leaves=rng.random(shape) < p_leave(config, screen.depth, screen.is_ad),
    )


def expect(oracle: Oracle, screen: Screen) -> Expected:
    """The expected values of the reactions that `draw_visits` draws."""
    config = oracle.world.config
    reaction = oracle.reaction_to(screen.users[:, None], screen.posts, screen.now_ts[:, None], screen.creator_before)
    leaves = p_leave(config, screen.depth, screen.is_ad)
    there = np.cumprod(1 - leaves, axis=1, dtype=np.float64)
    reached = np.concatenate([np.ones((len(there), 1)), there[:, :-1]], axis=1)
    clicks = np.where(screen.is_ad, 0.0, reached * examination(config, screen.position) * reaction.p_click)
    return Expected(
        reached=reached,
        clicks=clicks.sum(axis=1),
        dwell_s=(clicks * reaction.dwell_s).sum(axis=1),
        ended_by_ad=(reached * leaves * screen.is_ad).sum(axis=1),
        stays=there[:, -1],
    )


def slates_expected(oracle: Oracle, is_ad: Bools, pages: int) -> float:
    """Expected number of slates per session, at most `pages`, for slates with ads at `is_ad` bool[k]."""
    k = len(is_ad)
    stays = 1 - p_leave(oracle.world.config, np.arange(k * (pages - 1)), np.tile(is_ad, pages - 1))
    return float(1 + np.cumprod(stays.reshape(pages - 1, k).prod(axis=1)).sum())


def truth_of_served(oracle: Oracle, posts: Ints, creator: Ints, topic: Ints, now_ts: float) -> PostTruth:
    """The true properties of the posts in a response: post ids, `AD` for an ad, with their creators and topics.

    A post that the world does not contain (for example, one published by hand) counts as average, just published and
    without a burst. The same holds for a post with a known id but another creator.
    """
    truth = oracle.world.posts
    safe = np.where((posts >= 0) & (posts < len(truth)), posts, 0)
    is_known = (posts == safe) & (truth.creator[safe] == creator)
    found = oracle.truth_of(safe)
    given = np.where((topic >= 0) & (topic < oracle.world.config.topics), topic, 0)
    return PostTruth(
        creator=np.where(posts == AD, 0, creator),
        topic=np.where(is_known, found.topic, given),
        media=np.where(is_known, found.media, 0),
        quality=np.where(is_known, found.quality, np.float32(0)),
        bait=np.where(is_known, found.bait, np.float32(0)),
        published_ts=np.where(is_known, found.published_ts, now_ts),
        burst_ts=np.where(is_known, found.burst_ts, np.inf),
    )
