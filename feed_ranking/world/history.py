"""The log: what a named policy showed, with which probability, and what was clicked.

Policy `popularity_follow_v1` draws a slate from a pool (followed creators, popular posts, random posts) without
replacement, with probability proportional to exp(logit): a Plackett-Luce draw, made by adding Gumbel noise and
sorting. A random `randomised_share` of slates is drawn by `uniform_v1` instead. The logged propensity is
P(this post at this position | policy, pool, posts above it), exact for both.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feed_ranking.domain import LOGGING_POLICY, RANDOM_POLICY
from feed_ranking.world.oracle import Oracle, World
from feed_ranking.world.posts import start_ts
from feed_ranking.world.streams import stream

DAY_S = 86_400.0
SECONDS_PER_POSITION = 2.0
LABEL_DELAY_S = 30.0
INTEREST_NOISE = 1.5


def log_days(world: World) -> Iterator[tuple[int, pa.Table]]:
    """The log day by day: (day, table of impressions). Popularity is what earlier days have clicked."""
    clicks = np.zeros(world.config.posts)
    declared = _declared_interest(world)
    for day in range(world.config.days):
        table = _log_day(world, day, clicks, declared)
        clicks *= 0.7
        np.add.at(clicks, table["post_id"].to_numpy(), table["clicked"].to_numpy())
        yield day, table


def _log_day(
    world: World, day: int, popularity: npt.NDArray[np.float64], declared: npt.NDArray[np.float32]
) -> pa.Table:
    config, people, posts = world.config, world.people, world.posts
    rng = stream(config.seed, "history", day)
    sessions = rng.poisson(config.users * config.sessions_per_user_day)
    users = rng.choice(config.users, sessions, p=people.activity)
    begin = start_ts(config) + day * DAY_S
    session_ts = np.sort(np.floor(rng.uniform(begin, begin + DAY_S - 120, sessions)))
    pool = _draw_pool(world, rng, users, session_ts, popularity)

    creators = posts.creator[pool]
    logits = (
        0.5 * np.log1p(popularity[pool])
        + 0.8 * people.is_following(users[:, None], creators)
        + 0.5 * declared[users[:, None], posts.topic[pool]]
    )
    randomised = rng.random(sessions) < config.randomised_share
    logits[randomised] = 0.0
    logits[_is_double(pool)] = -np.inf
    slates, propensity = plackett_luce(rng, pool, logits, config.slate_size)

    k = slates.shape[1]
    position = np.broadcast_to(np.arange(k), slates.shape)
    p_click = Oracle(world).p_click(users[:, None], slates, position)
    clicked = rng.random(slates.shape) < p_click
    event_ts = session_ts[:, None] + SECONDS_PER_POSITION * position
    slate_id = day * 10_000_000 + np.arange(sessions, dtype=np.int64)
    policy = np.where(randomised, RANDOM_POLICY, LOGGING_POLICY)
    return pa.table(
        {
            "event_id": (slate_id[:, None] * 1000 + position).ravel(),
            "slate_id": np.repeat(slate_id, k),
            "user_id": np.repeat(users, k),
            "post_id": slates.ravel(),
            "creator_id": posts.creator[slates].ravel(),
            "position": position.ravel(),
            "policy": pa.array(np.repeat(policy, k)).dictionary_encode(),
            "propensity": propensity.ravel().astype(np.float32),
            "request_ts": _timestamps(np.repeat(session_ts, k)),
            "event_ts": _timestamps(event_ts.ravel()),
            "label_ts": _timestamps(event_ts.ravel() + LABEL_DELAY_S),
            "clicked": clicked.ravel(),
        }
    )


def plackett_luce(
    rng: np.random.Generator, pool: npt.NDArray[np.int64], logits: npt.NDArray[np.float64], k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Draw `k` of each row of `pool` int64[n, m] without replacement, p ∝ exp(logits[n, m]).

    Returns the slates int64[n, k] and the conditional propensities float64[n, k]. Gumbel top-k: Kool et al., ICML 2019.
    """
    noisy = logits + rng.gumbel(size=logits.shape)
    top = np.argpartition(-noisy, k - 1, axis=1)[:, :k]
    top = np.take_along_axis(top, np.argsort(-np.take_along_axis(noisy, top, 1), axis=1), 1)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    chosen = np.take_along_axis(weights, top, 1)
    above = np.cumsum(chosen, axis=1) - chosen
    return np.take_along_axis(pool, top, 1), chosen / (weights.sum(axis=1, keepdims=True) - above)


def _draw_pool(
    world: World,
    rng: np.random.Generator,
    users: npt.NDArray[np.int64],
    session_ts: npt.NDArray[np.float64],
    popularity: npt.NDArray[np.float64],
) -> npt.NDArray[np.int64]:
    """int64[sessions, pool]: a third of followed creators, a third popular, a third random; all alive."""
    config, people, posts = world.config, world.people, world.posts
    third = config.pool_size // 3
    first = np.searchsorted(posts.published_ts, session_ts - config.post_life_h * 3600)[:, None]
    last = np.searchsorted(posts.published_ts, session_ts, side="right")[:, None]
    uniform = first + (rng.random((len(users), third)) * (last - first)).astype(np.int64)

    mass = np.concatenate([[0.0], np.cumsum(popularity + 0.1)])
    target = mass[first] + rng.random((len(users), third)) * (mass[last] - mass[first])
    popular = np.clip(np.searchsorted(mass, target.ravel(), side="right").reshape(target.shape) - 1, first, last - 1)

    followed_count = (people.follows >= 0).sum(axis=1)[users]
    first_slot = people.follows.shape[1] - followed_count  # ids sort after the -1s
    slot = first_slot[:, None] + (rng.random((len(users), third)) * followed_count[:, None]).astype(np.int64)
    creator = np.sort(people.follows, axis=1)[users[:, None], slot]
    by_creator = np.lexsort((posts.published_ts, posts.creator))
    origin = posts.published_ts[0]
    key = posts.creator[by_creator] * 1e9 + (posts.published_ts[by_creator] - origin)
    low = np.searchsorted(key, creator * 1e9 + (session_ts[:, None] - config.post_life_h * 3600 - origin))
    high = np.searchsorted(key, creator * 1e9 + (session_ts[:, None] - origin), side="right")
    pick = by_creator[np.clip(low + (rng.random(low.shape) * (high - low)).astype(np.int64), 0, len(key) - 1)]
    followed = np.where(high > low, pick, uniform)  # a silent creator leaves the place to chance
    return np.concatenate([followed, popular, uniform[:, ::-1]], axis=1)


def _is_double(pool: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """True where a post stands in its row already."""
    order = np.argsort(pool, axis=1, kind="stable")
    ordered = np.take_along_axis(pool, order, 1)
    again = np.zeros(pool.shape, bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    double = np.empty_like(again)
    np.put_along_axis(double, order, again, 1)
    return double


def _declared_interest(world: World) -> npt.NDArray[np.float32]:
    """What users once told the old system about their tastes: the truth under a lot of noise."""
    rng = stream(world.config.seed, "declared")
    noise = rng.normal(0.0, INTEREST_NOISE, world.people.taste.shape)
    return (world.people.taste + noise).astype(np.float32)


def _timestamps(seconds: npt.NDArray[np.float64]) -> pa.Array:
    return pa.array((seconds * 1e6).astype(np.int64)).cast(pa.timestamp("us", tz="UTC"))
