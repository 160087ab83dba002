"""Start times of sessions, and the probability that a session ends.

Trade-offs caused: **diurnal load** (capacity for the evening peak is idle in the morning), **satiation** (few sessions
reach low positions, so order matters beyond position bias) and **ads** (an ad earns revenue but ends some sessions).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from feed_ranking.config import WorldConfig
from feed_ranking.domain import REGION_UTC_OFFSET_H
from feed_ranking.world.clicks import Array, sigmoid
from feed_ranking.world.tastes import People
from infra.columns import DAY_S, HOUR_S
from infra.simulation.streams import start_ts, stream

PEAK_HOUR = 18
SWING = 0.6
LONGEST_SESSION_S = 600.0


def hourly_load() -> Array:
    """float64[24], mean 1: relative number of sessions that start in each local hour."""
    hour = np.arange(24)
    load: Array = 1 + SWING * np.cos(2 * np.pi * (hour - PEAK_HOUR) / 24)
    return load


def draw_sessions(config: WorldConfig, people: People, day: int) -> tuple[npt.NDArray[np.int64], Array]:
    """(users int64[n], start float64[n] seconds) of one day's sessions, ordered by time; none crosses midnight."""
    rng = stream(config.seed, "sessions", day)
    count = rng.poisson(config.users * config.sessions_per_user_day)
    mass = np.cumsum(people.activity)
    users = np.minimum(np.searchsorted(mass, rng.random(count) * mass[-1]), config.users - 1)
    load = hourly_load()
    hour = rng.choice(24, count, p=load / load.sum()) + rng.random(count)
    utc_s = ((hour - np.asarray(REGION_UTC_OFFSET_H)[people.region[users]]) % 24) * HOUR_S
    begin = start_ts(config, day) + np.floor(np.minimum(utc_s, DAY_S - LONGEST_SESSION_S))
    order = np.argsort(begin, kind="stable")
    return users[order].astype(np.int64), begin[order]


def p_leave(config: WorldConfig, depth: npt.NDArray[np.int64], is_ad: npt.NDArray[np.bool_]) -> Array:
    """Probability that a session ends after this item; `depth`: number of earlier items in the session."""
    return sigmoid(config.leave_bias + config.satiation_leave * np.log1p(depth) + config.ad_leave * is_ad)
