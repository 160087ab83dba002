"""One independent random stream per part of the world, so a change to one part does not change the others."""

from __future__ import annotations

import zlib
from datetime import datetime

import numpy as np

from ctr_prediction.config import WorldConfig


def stream(seed: int, part: str, *key: int) -> np.random.Generator:
    """The generator of `part`, and of a sub-key such as a day, under the world's `seed`."""
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(part.encode()), *key]))


def start_ts(config: WorldConfig) -> float:
    """Start of the generated history, in seconds since the epoch."""
    return datetime.fromisoformat(config.start).timestamp()
