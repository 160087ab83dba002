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
        self._columns, self._count = log.columns(), len(log)
        self.unknown, self._catalogue = log.unknown, log.catalogue

    @property
    def log(self) -> EventLog:
        """The current log, without a copy. It is valid until the next `add`."""
        columns: dict[str, Any] = {name: values[: self._count] for name, values in self._columns.items()}
        return EventLog(**columns, catalogue=self._catalogue)

    def add(self, table: pa.Table, catalogue: PublicCatalogue) -> npt.NDArray[np.float64]:
        """Append events. `catalogue` may have more posts than before. Returns `known_s` of the events whose post and
        user are in it."""
        new = EventLog.of(table, catalogue)
        self._catalogue = catalogue
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
            for values in self._columns.values():
                values[first:count] = values[order]
        self._count = count
        return new.known_s
