"""Creators: topic, region, quality, bait, productivity, and time of joining.

Trade-offs caused: **clickbait** raises clicks and lowers dwell, so ranking by clicks alone rewards it. **New creators**
join every day with unknown quality, so a ranking that only exploits never finds the good ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed_ranking.config import WorldConfig
from feed_ranking.world.tastes import REGION_SHARES
from infra.columns import DAY_S
from infra.simulation.streams import start_ts, stream

OLDEST_DAYS = 700


@dataclass(frozen=True)
class Creators:
    """Creators ordered by joining, all arrays [creators]: `topic` and `region` int64; `quality` and `bait` float32,
    standard normal; `productivity` float64, relative; `joined_ts` float64."""

    topic: npt.NDArray[np.int64]
    region: npt.NDArray[np.int64]
    quality: npt.NDArray[np.float32]
    bait: npt.NDArray[np.float32]
    productivity: npt.NDArray[np.float64]
    joined_ts: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.topic)


def make_creators(config: WorldConfig) -> Creators:
    """The initial creators, then the creators that join each day. Each day has its own random stream."""
    start = start_ts(config)
    rng = stream(config.seed, "creators")
    joined = np.sort(start - rng.uniform(30, OLDEST_DAYS, config.creators_at_start) * DAY_S)
    parts = [_draw(rng, config, joined)]
    for day in range(config.days):
        joined = np.full(config.new_creators_per_day, start + day * DAY_S)
        parts.append(_draw(stream(config.seed, "creators", day), config, joined))
    return Creators(*(np.concatenate([getattr(part, name) for part in parts]) for name in Creators.__annotations__))


def _draw(rng: np.random.Generator, config: WorldConfig, joined_ts: npt.NDArray[np.float64]) -> Creators:
    n = len(joined_ts)
    return Creators(
        topic=rng.integers(0, config.topics, n),
        region=rng.choice(len(REGION_SHARES), n, p=REGION_SHARES).astype(np.int64),
        quality=rng.normal(size=n).astype(np.float32),
        bait=rng.normal(size=n).astype(np.float32),
        productivity=rng.gamma(1.0, 1.0, n) + 0.2,
        joined_ts=np.floor(joined_ts),
    )
