"""The oracle: true probabilities of reactions, the true value of a slate, and the best slate.

It conditions on the true parameters of the world and on facts observable at request time, never on noise that is drawn
later.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from feed_ranking.config import ObjectiveConfig
from feed_ranking.domain import AD, EMPTY
from feed_ranking.world.bursts import burst_logit
from feed_ranking.world.clicks import Array, p_click_if_examined
from feed_ranking.world.examination import examination
from feed_ranking.world.rewards import expected_dwell_s, p_comment, p_like
from feed_ranking.world.sessions import p_leave
from feed_ranking.world.truth import World

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Reaction:
    """Reaction to an examined post: `p_click`, and given a click `p_like`, `p_comment`, `dwell_s` (mean)."""

    p_click: Array
    p_like: Array
    p_comment: Array
    dwell_s: Array

    def value_s(self, objective: ObjectiveConfig) -> Array:
        """Expected value of an examined impression, in seconds of attention."""
        return self.p_click * (
            objective.click_weight
            + objective.dwell_weight * self.dwell_s
            + objective.like_weight * self.p_like
            + objective.comment_weight * self.p_comment
        )


@dataclass(frozen=True)
class PostTruth:
    """True properties of posts that determine reactions; arrays of one shape. `burst_ts` is infinite for a post that
    never bursts. `creator` may be unknown to the world; `topic` is always valid."""

    creator: Ints
    topic: Ints
    media: Ints
    quality: npt.NDArray[np.float32]
    bait: npt.NDArray[np.float32]
    published_ts: Array
    burst_ts: Array


@dataclass(frozen=True)
class Oracle:
    """The true probabilities and values of one world."""

    world: World
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)

    def reaction(self, users: Ints, posts: Ints, now_ts: npt.ArrayLike, creator_before: npt.ArrayLike = 0) -> Reaction:
        """Reactions of `users` that examine `posts` at `now_ts` (seconds), after `creator_before` posts of the same
        creator in the session. All four broadcast together."""
        return self.reaction_to(users, self.truth_of(posts), now_ts, creator_before)

    def truth_of(self, posts: Ints) -> PostTruth:
        """True properties of posts that the world contains."""
        truth = self.world.posts
        return PostTruth(
            truth.creator[posts],
            truth.topic[posts],
            truth.media[posts],
            truth.quality[posts],
            truth.bait[posts],
            truth.published_ts[posts],
            self.world.bursts.start_ts[posts],
        )

    def reaction_to(
        self, users: Ints, truth: PostTruth, now_ts: npt.ArrayLike, creator_before: npt.ArrayLike = 0
    ) -> Reaction:
        """Like `reaction`, also for posts that the world does not contain."""
        world, now = self.world, np.asarray(now_ts, np.float64)
        config, quality, bait = world.config, truth.quality, truth.bait
        is_known = truth.creator < len(world.creators)
        creator = np.where(is_known, truth.creator, 0)
        taste = world.people.taste[users, truth.topic]
        is_followed = world.graph.is_following(users, creator) & is_known
        same_region = (world.people.region[users] == world.creators.region[creator]) & is_known
        p_click = p_click_if_examined(
            config,
            taste=taste,
            quality=quality,
            bait=bait,
            is_followed=is_followed,
            age_s=now - truth.published_ts,
            burst=burst_logit(config, truth.burst_ts, now, same_region),
            creator_before=np.asarray(creator_before),
        )
        return Reaction(
            p_click,
            p_like(config, taste, quality, bait),
            p_comment(config, taste, quality, is_followed),
            expected_dwell_s(config, taste, quality, bait, truth.media),
        )

    def p_click_shown(
        self, users: Ints, posts: Ints, now_ts: npt.ArrayLike, position: Ints, creator_before: npt.ArrayLike
    ) -> Array:
        """p(click) of an item shown at `position` (from 0), examined or not."""
        looked = examination(self.world.config, position)
        return looked * self.reaction(users, posts, now_ts, creator_before).p_click

    def slate_value(self, users: Ints, slates: Ints, now_ts: float) -> Array:
        """float64[n]: expected seconds of attention that whole slates earn at the start of a session.

        `slates` int64[n, k] holds post ids, `EMPTY` or `AD`. An item counts if the user reaches and examines it. Ads
        raise the probability that the user leaves.
        """
        n, k = slates.shape
        is_post = slates >= 0
        safe = np.maximum(slates, 0)
        before = creators_before(np.where(is_post, self.world.posts.creator[safe], -1))
        worth = self.reaction(users[:, None], safe, now_ts, before).value_s(self.objective)
        position = np.arange(k)
        leave = p_leave(self.world.config, position[None, :], slates == AD)
        leave = np.where(slates == EMPTY, 0.0, leave)
        there = np.cumprod(np.concatenate([np.ones((n, 1)), 1 - leave[:, :-1]], axis=1), axis=1)
        value: Array = (np.where(is_post, worth, 0.0) * there * examination(self.world.config, position)).sum(axis=1)
        return value

    def best_slate(self, user: int, pool: Ints, now_ts: float, k: int, creator_cap: int) -> Ints:
        """int64[k]: the greedy best slate, fatigue included, with at most `creator_cap` posts per creator.

        Places are `EMPTY` when the pool is exhausted.
        """
        creator = self.world.posts.creator[pool]
        _, group = np.unique(creator, return_inverse=True)
        cap = min(creator_cap, k)
        worth = self.reaction(np.int64(user) + np.zeros_like(pool), pool, now_ts, np.arange(cap)[:, None]).value_s(
            self.objective
        )
        worth = np.vstack([worth, np.full(len(pool), -np.inf)])  # posts beyond the cap
        shown = np.zeros(len(pool), np.int64)
        now = worth[0].copy()
        slate = np.full(k, EMPTY, np.int64)
        for place in range(min(k, len(pool))):
            best = int(np.argmax(now))
            if now[best] == -np.inf:
                break
            slate[place] = pool[best]
            mates = np.flatnonzero(group == group[best])
            shown[mates] += 1
            now[mates] = np.where(np.isneginf(now[mates]), -np.inf, worth[np.minimum(shown[mates], cap), mates])
            now[best] = -np.inf
        return slate


def creators_before(creator: Ints) -> Ints:
    """int64[n, k]: number of earlier places with the same creator, for `creator` int64[n, k]; 0 for -1."""
    k = creator.shape[1]
    before = np.zeros(creator.shape, np.int64)
    for place in range(1, k):
        before[:, place] = (creator[:, :place] == creator[:, place : place + 1]).sum(axis=1)
    return np.where(creator >= 0, before, 0)
