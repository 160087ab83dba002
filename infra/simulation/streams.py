"""One independent random stream per part of a world, so that changing one part leaves the others as they were.

The module also gives the time span of a generated history.
"""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import Protocol

import numpy as np

from infra.columns import DAY_S


class HistorySpan(Protocol):
    """The part of a world's configuration that fixes the span: `start` is an ISO time with a zone."""

    @property
    def start(self) -> str: ...

    @property
    def days(self) -> int: ...


def stream(seed: int, part: str, *key: int) -> np.random.Generator:
    """The generator of `part`, and of a sub-key such as a day, under the world's `seed`."""
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(part.encode()), *key]))


def start_ts(span: HistorySpan, day: int = 0) -> float:
    """The start of `day` (from 0) of the history, in seconds since the epoch."""
    return datetime.fromisoformat(span.start).timestamp() + day * DAY_S


def end_ts(span: HistorySpan) -> float:
    """The end of the history, which is the world's present, in seconds since the epoch."""
    return start_ts(span, span.days)
