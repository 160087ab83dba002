"""The logging policy of the generated history. It is random enough for off-policy learning from its log.

`engagement_v1` draws a slate from a pool (followed creators, popular, fresh and random posts) without replacement,
with probability proportional to exp(logit) (`infra.simulation.draws`). A random `randomised_share` of slates is drawn
by `uniform_v1` instead. The propensity of a post is P(it comes next | policy, pool, posts drawn before it), exact for
both.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feed_ranking.world.clicks import Array
from feed_ranking.world.truth import World
from infra.columns import HOUR_S

Ints = npt.NDArray[np.int64]
FRESH_H = 6.0


def draw_pool(world: World, rng: np.random.Generator, users: Ints, now_ts: Array, popularity: Array) -> Ints:
    """int64[n, pool_size]: posts alive at `now_ts`, by followed creators, popular, fresh, and random."""
    config, posts = world.config, world.posts
    part = config.pool_size // 4
    shape = (len(users), part)
    first = np.searchsorted(posts.published_ts, now_ts - config.post_life_h * HOUR_S)[:, None]
    young = np.searchsorted(posts.published_ts, now_ts - FRESH_H * HOUR_S)[:, None]
    last = np.searchsorted(posts.published_ts, now_ts, side="right")[:, None]
    anything = first + (rng.random((len(users), config.pool_size - 3 * part)) * (last - first)).astype(np.int64)
    fresh = young + (rng.random(shape) * (last - young)).astype(np.int64)

    mass = np.concatenate([[0.0], np.cumsum(popularity + 0.1)])
    target = mass[first] + rng.random(shape) * (mass[last] - mass[first])
    popular = np.clip(np.searchsorted(mass, target.ravel(), side="right").reshape(shape) - 1, first, last - 1)

    graph = world.graph
    there = np.searchsorted(world.creators.joined_ts, now_ts, side="right")  # exclude creators that join later
    count = (np.searchsorted(graph.keys, users * np.int64(graph.creators) + there) - graph.start[users])[:, None]
    edge = graph.start[users][:, None] + (rng.random(shape) * count).astype(np.int64)
    creator = graph.creator[np.minimum(edge, len(graph.creator) - 1)]
    timelines = posts.timelines
    low = timelines.place(creator, now_ts[:, None] - config.post_life_h * HOUR_S, "left")
    high = timelines.place(creator, now_ts[:, None], "right")
    chosen = np.clip(low + (rng.random(shape) * (high - low)).astype(np.int64), 0, len(posts) - 1)
    pick = timelines.order[chosen]
    followed = np.where((high > low) & (count > 0), pick, fresh)  # a creator without posts: use a fresh post
    return np.concatenate([followed, popular, fresh[:, ::-1], anything], axis=1)


def policy_logits(world: World, users: Ints, pool: Ints, now_ts: Array, popularity: Array) -> Array:
    """float64[n, pool]: the logits of `engagement_v1`, from features that a production system observes."""
    posts, people = world.posts, world.people
    is_declared = (people.declared[users][:, None, :] == posts.topic[pool][:, :, None]).any(axis=2)
    age_h = np.maximum(now_ts[:, None] - posts.published_ts[pool], 0) / HOUR_S
    logits: Array = (
        0.5 * np.log1p(popularity[pool])
        + 0.8 * world.graph.is_following(users[:, None], posts.creator[pool])
        + 0.8 * is_declared
        - 0.2 * np.log1p(age_h / FRESH_H)
    )
    return logits
