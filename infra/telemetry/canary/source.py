"""What a design tells the canary's comparison about new rows of its live log.

An *answer* is one response of one model. A *session* is what an online metric counts: a visit, an auction or a trip. A
session belongs to the model that gave its answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np
import pyarrow as pa

from infra.telemetry.drift.observed import Array, Ints


@dataclass(frozen=True)
class Answers:
    """n responses: `id` int64[n], `at_ts` float64[n], `model` int64[n], an index of the compared models, and the `user`
    int64[n] whose hash chose the model."""

    id: Ints
    at_ts: Array
    model: Ints
    user: Ints

    @classmethod
    def none(cls) -> Answers:
        ids = np.zeros(0, np.int64)
        return cls(ids, np.zeros(0), ids, ids)


@dataclass(frozen=True)
class Outcomes:
    """m sums of what users did: `value` float64[m] of the session `session` int64[m] after the answer `answer`
    int64[m]."""

    answer: Ints
    session: Ints
    value: Array

    @classmethod
    def none(cls) -> Outcomes:
        ids = np.zeros(0, np.int64)
        return cls(ids, ids, np.zeros(0))

    def summed(self) -> Outcomes:
        """One row per answer and session."""
        if not len(self.answer):
            return self
        keys, place = np.unique(np.stack([self.answer, self.session]), axis=1, return_inverse=True)
        total = np.bincount(place.ravel(), self.value, keys.shape[1]).astype(np.float64)
        return Outcomes(keys[0], keys[1], total)


def joined(parts: Sequence[Answers] | Sequence[Outcomes]) -> dict[str, np.ndarray]:
    """Field -> the concatenated arrays of values of one class; `parts` is not empty."""
    return {item.name: np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(parts[0])}


class CanarySource(Protocol):
    """Named by `Design.canary`; it reads no file."""

    predictions: str
    """folder of the live log with one row per answer, with the columns `id_column`, request_ts and model_version"""
    id_column: str
    user_key: str
    """name of the user in the JSON text of the column `event`; empty if chance chooses a model for each answer"""
    labels: tuple[str, ...]
    """the other folders"""
    measure: str
    """the online metric, such as "attention per session"; more is better"""
    settle_s: float
    """seconds of world time after an answer until the value of its session is final"""
    counts_silence: bool
    """True if an answer without an outcome is a session of value 0, False if it is no session"""

    def outcomes(self, tables: Mapping[str, pa.Table]) -> Outcomes:
        """The outcomes in new rows of the folders `labels`."""
        ...
