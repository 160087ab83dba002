"""An append-only log of events in memory. The worker appends every second and reads the whole log after each append."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feed_ranking.events.history import EventLog, PublicCatalogue

GROWTH = 1.25
"""capacity factor of new arrays, so most appends copy only the new events"""


class GrowingLog:
    """A growing `EventLog`, always ordered by `known_s`. Not thread-safe."""

    def __init__(self, log: EventLog) -> None:
        self._columns: dict[str, npt.NDArray[Any]] = {
            name: values for name, values in vars(log).items() if name != "unknown"
        }
        self._count, self.unknown = len(log), log.unknown

    @property
    def log(self) -> EventLog:
        """The current log, without a copy. Later appends do not change it unless an event arrives out of order."""
        columns: dict[str, Any] = {name: values[: self._count] for name, values in self._columns.items()}
        return EventLog(**columns)

    def add(self, table: pa.Table, catalogue: PublicCatalogue) -> int:
        """Append events. Returns the number of events whose post and user are in the catalogue."""
        new = EventLog.of(table, catalogue)
        self.unknown += new.unknown
        count = self._count + len(new)
        for name, values in self._columns.items():
            if count > len(values):
                wider = np.empty((int(count * GROWTH) + 1, *values.shape[1:]), values.dtype)
                wider[: self._count] = values[: self._count]
                self._columns[name] = wider
            self._columns[name][self._count : count] = getattr(new, name)
        known_s = self._columns["known_s"]
        if len(new) and self._count and known_s[self._count] < known_s[self._count - 1]:
            first = int(np.searchsorted(known_s[: self._count], known_s[self._count], side="right"))
            order = first + np.argsort(known_s[first:count], kind="stable")
            for name, values in self._columns.items():
                self._columns[name] = np.concatenate([values[:first], values[order]])
        self._count = count
        return len(new)
