"""When people come, and when they have had enough.

Trade-offs caused: **diurnal load** (capacity is bought for the evening and idles in the morning), **satiation** (what
stands far down is seen by few, so order matters beyond position bias) and **ads**, which earn money in their place
and cost the rest of the session of everyone whom they drive away.
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
    """float64[24], mean 1: relative number of sessions that begin in each local hour."""
    hour = np.arange(24)
    load: Array = 1 + SWING * np.cos(2 * np.pi * (hour - PEAK_HOUR) / 24)
    return load


def draw_sessions(config: WorldConfig, people: People, day: int) -> tuple[npt.NDArray[np.int64], Array]:
    """(users int64[n], begin float64[n] seconds) of one day's sessions in order of time; none reaches midnight."""
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
    """Probability that a session ends after this item; `depth`: items seen in it before."""
    return sigmoid(config.leave_bias + config.satiation_leave * np.log1p(depth) + config.ad_leave * is_ad)
