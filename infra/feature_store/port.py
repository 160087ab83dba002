"""The port of the feature store: a row of features, and the protocols for online and offline access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

Value = float | int | npt.NDArray[np.float32] | npt.NDArray[np.int64] | None


@dataclass(frozen=True)
class FeatureRow:
    """One entity's features. A feature that was never written is missing from `values`.

    `event_ts` is the oldest event time (UTC) over the row's views, and `newest_ts` is the newest. Both are None for an
    unknown entity.
    """

    values: Mapping[str, Value]
    event_ts: datetime | None
    newest_ts: datetime | None = None

    @property
    def is_known(self) -> bool:
        return self.event_ts is not None


class OnlineFeatures(Protocol):
    """Online reads for serving. Every method raises `FeatureStoreUnavailable` if the store does not answer."""

    def read_online(self, entity_id: int) -> FeatureRow: ...

    async def read_soon(self, entity_id: int) -> FeatureRow:
        """Read one row in an event loop. Waiting for another process never blocks the loop."""
        ...

    def read_many(self, entity_ids: Sequence[int]) -> list[FeatureRow]:
        """Read the rows of several entities with one read, in their order."""
        ...


class Joins(Protocol):
    """Offline joins for training."""

    def join(self, rows: pd.DataFrame, features: list[str]) -> pd.DataFrame:
        """Point-in-time join of `rows` (entity keys and `event_ts`) with `features`.

        Each row gets the newest values whose feature time is at or before its `event_ts`. The result has the same rows,
        order and index.
        """
        ...


class OfflineFeatures(Joins, Protocol):
    """Offline joins for training, and writes to the online store."""

    def materialize(self, view: str, until: datetime) -> int:
        """Write each entity's newest values at `until` to the online store. Returns the number of entities."""
        ...

    def push(self, view: str, rows: pd.DataFrame) -> None:
        """Write rows (entity keys, features, `event_ts`) to the online store now."""
        ...
