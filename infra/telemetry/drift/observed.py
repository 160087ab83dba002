"""What a design tells the drift monitor about new files of its live log.

A *unit* is what gets a label: an impression, or a trip. Its label may arrive long after the prediction. A unit is
*mature* at a time that is fixed with the prediction and does not depend on the label. Without this rule, the first
windows after a start would hold only the labels that arrive early, and these differ from the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infra.telemetry.drift.bins import Bins, Columns

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Units:
    """m units. `group` is the request that made the unit: units of one group are correlated. `segment` int64[m, s] are
    the segments of a unit, as places in `DriftSource.segments`; -1 is none. `predicted` float64[m, k] is what
    `DriftSource` needs to judge a label. `actual` is NaN until the label arrives."""

    id: Ints
    mature_ts: Array
    group: Ints
    segment: Ints
    predicted: Array
    actual: Array

    @classmethod
    def none(cls, width: int, segments: int = 1) -> Units:
        ids = np.zeros(0, np.int64)
        return cls(ids, np.zeros(0), ids, np.zeros((0, segments), np.int64), np.zeros((0, width)), np.zeros(0))

    @classmethod
    def joined(cls, parts: Sequence[Units]) -> Units:
        return cls(*(np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(cls)))

    def take(self, rows: npt.NDArray[Any]) -> Units:
        return Units(*(getattr(self, item.name)[rows] for item in fields(self)))

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True)
class Labels:
    """`id` int64[l] of units, and `actual` float64[l]. Of several labels of a unit the largest counts."""

    id: Ints
    actual: Array


@dataclass(frozen=True)
class Observed:
    """New predictions and labels. `request_ts` and `age_s` float64[n] (NaN without features) and `is_unknown` bool[n]
    describe the n predictions. `inputs` are histogram columns; each may have any number of rows."""

    request_ts: Array
    age_s: Array
    is_unknown: npt.NDArray[np.bool_]
    inputs: Columns
    units: Units
    labels: Labels


class DriftSource(Protocol):
    """Opened by `resolve(Design.drift)(settings)`, for the release that serves."""

    predictions: str
    """folder of the live log with one row per prediction"""
    labels: tuple[str, ...]
    """the other folders that `observe` reads"""
    segments: tuple[str, ...]
    unit: str
    """what a unit is, such as "impressions" """
    ratio: str
    """what the calibration divides, such as "clicks / predicted clicks" """
    measure: str
    """the loss, such as "log loss" """
    bins: Bins
    version: str
    """the served model, such as "feed_ranking-small/3" """

    def observe(self, tables: Mapping[str, pa.Table]) -> Observed:
        """The predictions of the served model and the labels in new rows of the log, by folder. Raises `LabError` if
        other code wrote an event."""
        ...

    def judged(self, units: Units) -> Units:
        """Mature units with the final `actual`, without those whose outcome says nothing about the model."""
        ...

    def expected(self, predicted: Array) -> Array:
        """float64[m]: the predicted mean of `actual`, for `predicted` float64[m, k]."""
        ...

    def loss(self, predicted: Array, actual: Array) -> Array:
        """float64[m]"""
        ...
