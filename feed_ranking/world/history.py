"""The generated log: the slates that the logging policy shows in each session, and the users' reactions.

A day depends on its own random streams and on the logged clicks of earlier days. Therefore adding a day later gives the
same rows as one run over all days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feed_ranking.domain import AD, LOGGING_POLICY, RANDOM_POLICY
from feed_ranking.world.oracle import Oracle, creators_before
from feed_ranking.world.policy import draw_pool, policy_logits
from feed_ranking.world.sessions import draw_sessions
from feed_ranking.world.truth import World
from feed_ranking.world.visits import Screen, draw_visits
from infra.simulation.days import log_table
from infra.simulation.draws import is_double, plackett_luce
from infra.simulation.streams import stream

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]

SECONDS_PER_POSITION = 2.0
SECONDS_BETWEEN_SLATES = 60.0
LABEL_DELAY_S = 180.0
ADS = 40
BLOCK = 8_000
"""sessions generated at once; it must not change, because the keys of the random streams depend on it"""
POPULARITY_KEPT = 0.7
"""share of a post's popularity that remains a day later"""


@dataclass
class Popularity:
    """Clicks of each post so far, with exponential decay per day: float64[posts]."""

    clicks: Array

    @classmethod
    def none(cls, world: World) -> Popularity:
        return cls(np.zeros(len(world.posts)))

    def after(self, day: pa.Table) -> Popularity:
        """The popularity at the start of the next day."""
        posts = day["post_id"].to_numpy()[day["clicked"].to_numpy(zero_copy_only=False)]
        return Popularity(self.clicks * POPULARITY_KEPT + np.bincount(posts, minlength=len(self.clicks)))


def log_day(world: World, day: int, popularity: Popularity) -> pa.Table:
    """All impressions of one day, one row per item, ordered by `label_ts`."""
    users, begin = draw_sessions(world.config, world.people, day)
    blocks = [
        _log_sessions(world, day, number, users[first : first + BLOCK], begin[first : first + BLOCK], popularity.clicks)
        for number, first in enumerate(range(0, max(len(users), 1), BLOCK))
    ]
    table = pa.concat_tables(blocks).combine_chunks()
    order = np.argsort(table["label_ts"].to_numpy(), kind="stable")
    return table.take(order)


@dataclass
class Session:
    """Posts and creators int64[n, seen] that n sessions have seen so far, and the number of items per session."""

    users: Ints
    posts: Ints
    creators: Ints
    depth: Ints
    rows: list[Mapping[str, npt.NDArray[np.generic]]] = field(default_factory=list)


def _log_sessions(world: World, day: int, block: int, users: Ints, begin: Array, popularity: Array) -> pa.Table:
    config = world.config
    rng = stream(config.seed, "history", day, block)
    n = len(users)
    seen = Session(users, np.full((n, 0), -1, np.int64), np.full((n, 0), -1, np.int64), np.zeros(n, np.int64))
    session_id = day * 100_000_000 + block * BLOCK + np.arange(n, dtype=np.int64)
    there = np.arange(n)
    for page in range(config.max_slates):
        now_ts = begin + page * (config.slate_size * SECONDS_PER_POSITION + SECONDS_BETWEEN_SLATES)
        there = _show_slate(world, rng, seen, there, now_ts, session_id, page, popularity)
        if not len(there):
            break
    columns = {name: np.concatenate([rows[name] for rows in seen.rows]) for name in seen.rows[0]}
    return log_table(columns, LOGGING_POLICY, RANDOM_POLICY)


def _show_slate(
    world: World,
    rng: np.random.Generator,
    seen: Session,
    there: Ints,
    request_ts: Array,
    session_id: Ints,
    page: int,
    popularity: Array,
) -> Ints:
    """Show one slate to the sessions `there`, draw reactions and log them; returns the sessions that continue."""
    config, truth = world.config, world.posts
    users, now_ts, k = seen.users[there], request_ts[there], config.slate_size
    pool = draw_pool(world, rng, users, now_ts, popularity)
    randomised = rng.random(len(there)) < config.randomised_share
    logits = np.where(randomised[:, None], 0.0, policy_logits(world, users, pool, now_ts, popularity))
    logits[is_double(pool) | (pool[:, :, None] == seen.posts[there][:, None, :]).any(axis=2)] = -np.inf
    drawn, organic_propensity = plackett_luce(rng, logits, k)
    organic = np.take_along_axis(pool, drawn, 1)

    is_ad = np.zeros((len(there), k), bool)
    for place_of_ad in config.ad_positions:
        is_ad[:, place_of_ad] = rng.random(len(there)) < config.ad_fill
    place = np.cumsum(~is_ad, axis=1) - 1
    slate = np.where(is_ad, AD, np.take_along_axis(organic, place, 1))
    propensity = np.where(is_ad, config.ad_fill / ADS, np.take_along_axis(organic_propensity, place, 1))
    creator = np.where(is_ad, -1, truth.creator[slate])
    everything = np.concatenate([seen.creators[there], creator], axis=1)
    before = creators_before(everything)[:, -k:]

    position = np.broadcast_to(np.arange(k), slate.shape)
    depth = seen.depth[there][:, None] + position
    oracle = Oracle(world)
    screen = Screen(users, oracle.truth_of(np.maximum(slate, 0)), is_ad, now_ts, depth, before)
    came = draw_visits(oracle, rng, screen)

    rows, columns = np.nonzero(came.reached)
    event_ts = now_ts[:, None] + SECONDS_PER_POSITION * position
    slate_id = session_id[there] * 10 + page

    def picked(matrix: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.broadcast_to(matrix, slate.shape)[rows, columns]

    seen.rows.append(
        {
            "event_id": picked(slate_id[:, None] * 100 + position),
            "session_id": picked(session_id[there][:, None]),
            "slate_id": picked(slate_id[:, None]),
            "user_id": picked(users[:, None]),
            "post_id": np.maximum(picked(slate), -1),
            "creator_id": picked(creator),
            "ad_id": picked(np.where(is_ad, rng.integers(0, ADS, slate.shape), -1)),
            "position": picked(position),
            "depth": picked(depth),
            "creator_before": picked(before),
            "is_random": picked(randomised[:, None]),
            "propensity": picked(propensity).astype(np.float32),
            "request_ts": picked(now_ts[:, None]),
            "event_ts": picked(event_ts),
            "label_ts": picked(event_ts + LABEL_DELAY_S),
            "clicked": picked(came.clicked),
            "liked": picked(came.liked),
            "commented": picked(came.commented),
            "dwell_s": picked(came.dwell_s).astype(np.float32),
            "left": picked(came.leaves),
        }
    )
    seen.posts = _wider(seen.posts, there, slate)
    seen.creators = _wider(seen.creators, there, creator)
    seen.depth[there] += k
    return there[~came.leaves.any(axis=1)]


def _wider(matrix: Ints, rows: Ints, columns: Ints) -> Ints:
    """`matrix` with `columns` added for `rows`, -1 for all others."""
    added = np.full((len(matrix), columns.shape[1]), -1, np.int64)
    added[rows] = columns
    return np.concatenate([matrix, added], axis=1)
