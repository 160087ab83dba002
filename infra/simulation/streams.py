"""Independent random streams, one per part of a world, so that a change to one part does not change the others.

This module also computes the time span of a generated history.
"""

from __future__ import annotations

import zlib
from datetime import datetime
from typing import Protocol

import numpy as np

from infra.columns import DAY_S


class HistorySpan(Protocol):
    """The configuration fields that define the time span of a history. `start` is an ISO time with a zone."""

    @property
    def start(self) -> str: ...

    @property
    def days(self) -> int: ...


def stream(seed: int, part: str, *key: int) -> np.random.Generator:
    """The random generator of `part` under the world's `seed`. `key` selects a sub-stream, such as a day."""
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(part.encode()), *key]))


def start_ts(span: HistorySpan, day: int = 0) -> float:
    """The start of `day` (from 0) of the history, in seconds since the epoch."""
    return datetime.fromisoformat(span.start).timestamp() + day * DAY_S


def end_ts(span: HistorySpan) -> float:
    """The end of the history in seconds since the epoch. It is the present of a newly generated world."""
    return start_ts(span, span.days)
