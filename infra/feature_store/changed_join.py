"""A store whose offline joins are changed: the mistakes that `lab plant` plants into the training join of a design."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from infra.feature_store.port import Joins

Change = Callable[[pd.DataFrame], pd.DataFrame]
"""Changes the joined rows: entity keys, `event_ts` (UTC) and the columns of the views."""


@dataclass(frozen=True)
class ChangedJoin:
    """Joins like `inner`, and changes the rows that have the column `key`."""

    inner: Joins
    key: str
    change: Change

    def join(self, rows: pd.DataFrame, features: list[str]) -> pd.DataFrame:
        frame = self.inner.join(rows, features)
        return self.change(frame) if self.key in frame else frame
