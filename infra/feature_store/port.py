"""The feature store as the rest of the lab sees it."""

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

    `event_ts` is the oldest time (UTC) that any of the row's views speaks for, `newest_ts` the newest; both are None
    for an unknown entity.
    """

    values: Mapping[str, Value]
    event_ts: datetime | None
    newest_ts: datetime | None = None

    @property
    def is_known(self) -> bool:
        return self.event_ts is not None


class OnlineFeatures(Protocol):
    """What serving needs. Raises `FeatureStoreUnavailable` when the store does not answer."""

    def read_online(self, entity_id: int) -> FeatureRow: ...

    async def read_soon(self, entity_id: int) -> FeatureRow:
        """The same, for an event loop. It never waits for anything but by awaiting."""
        ...

    def read_many(self, entity_ids: Sequence[int]) -> list[FeatureRow]:
        """A row for each, in their order, by one read."""
        ...


class OfflineFeatures(Protocol):
    """What training and materialisation need."""

    def join(self, rows: pd.DataFrame, features: list[str]) -> pd.DataFrame:
        """Point-in-time join: each row of `rows` (entity keys and `event_ts`) gets the newest values with
        a feature time at or before its `event_ts`. Same rows, same order, same index."""
        ...

    def materialize(self, view: str, until: datetime) -> int:
        """Write each entity's newest values at `until` to the online store; returns the number of entities."""
        ...

    def push(self, view: str, rows: pd.DataFrame) -> None:
        """Write rows (entity keys, features, `event_ts`) to the online store now."""
        ...
