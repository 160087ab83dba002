"""Bursts: a small share of posts trends in its region for some hours.

Trade-off caused: counts over days detect lasting popularity but miss bursts. Counts over hours detect bursts but are
noisy for other posts. A burst ends before a daily pipeline can count it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed_ranking.config import WorldConfig
from feed_ranking.world.posts import Posts
from infra.columns import HOUR_S
from infra.simulation.streams import stream

LATEST_START_H = 24.0


@dataclass(frozen=True)
class Bursts:
    """`start_ts` float64[posts], infinite for posts that never burst."""

    start_ts: npt.NDArray[np.float64]


def make_bursts(config: WorldConfig, posts: Posts) -> Bursts:
    parts = []
    for day in range(config.days + config.days_before):
        rng = stream(config.seed, "bursts", day)
        delay = rng.uniform(0, LATEST_START_H, config.posts_per_day) * HOUR_S
        parts.append(np.where(rng.random(config.posts_per_day) < config.burst_share, delay, np.inf))
    return Bursts(posts.published_ts + np.concatenate(parts))


def burst_logit(
    config: WorldConfig,
    start_ts: npt.NDArray[np.float64],
    now_ts: npt.NDArray[np.float64],
    same_region: npt.NDArray[np.bool_],
) -> npt.NDArray[np.float64]:
    """float64: the increase of the click logit by a burst. It starts at full height and decays exponentially."""
    hours = (now_ts - start_ts) / HOUR_S
    height = np.where(hours >= 0, np.exp(-np.maximum(hours, 0.0) / config.burst_decay_h), 0.0)
    return config.burst_click * height * np.where(same_region, 1.0, config.burst_elsewhere)
