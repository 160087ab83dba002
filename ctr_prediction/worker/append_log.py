"""An append-only log of impressions in memory, to which the worker adds clicks when they arrive.

The result equals `EventLog.of` on all events at once, for any order of arrival. A click that arrives before its
impression waits for it, because the two use separate topics.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ctr_prediction.domain import Array, Ints
from ctr_prediction.events.history import COLUMNS, EventLog, PublicCatalogue, with_clicks
from infra.columns import seconds

GROWTH = 1.25
"""capacity factor of new arrays, so most appends copy only the new events"""
MOST_WAITING = 50_000
"""maximum number of clicks that wait for their impression; the oldest are dropped"""


@dataclass(frozen=True)
class NewEvents:
    """New events: `user` int64[n], and `at_s` float64[n], the arrival time, from which each event counts."""

    user: Ints
    at_s: Array


class GrowingLog:
    """A growing `EventLog`, always in order. Not thread-safe."""

    def __init__(self, log: EventLog, catalogue: PublicCatalogue) -> None:
        self._columns: dict[str, npt.NDArray[Any]] = {name: getattr(log, name) for name in COLUMNS}
        self._clicked, self._label_s = log.clicked, log.label_s
        self._count, self._catalogue = len(log), catalogue
        self._when: dict[int, float] = {}
        """impression number -> `at_s`, to find the impression of a click"""
        self._waiting: dict[int, float] = {}

    def __len__(self) -> int:
        return self._count

    @property
    def log(self) -> EventLog:
        """The current log, without a copy. It is valid until the next `add` or `click`."""
        columns: dict[str, Any] = {name: values[: self._count] for name, values in self._columns.items()}
        return EventLog(**columns, clicked=self._clicked, label_s=self._label_s)

    def add(self, shown: pa.Table) -> NewEvents:
        """Add new impressions (columns of `events.tables.shown_rows`) and their waiting clicks. Impressions of unknown
        users or ads are dropped."""
        new = EventLog.of(with_clicks(shown, None), self._catalogue)
        first_of = dict(zip(new.number[::-1].tolist(), range(len(new) - 1, -1, -1), strict=True))
        kept = np.array(sorted(at for number, at in first_of.items() if number not in self._when), np.int64)
        if not len(kept):
            return _new_events([])
        count = self._count + len(kept)
        for name, values in self._columns.items():
            if count > len(values):
                wider = np.empty(int(count * GROWTH) + 1, values.dtype)
                wider[: self._count] = values[: self._count]
                self._columns[name] = wider
            self._columns[name][self._count : count] = getattr(new, name)[kept]
        self._put_in_order(self._count, count)
        self._count = count
        self._when.update(zip(new.number[kept].tolist(), new.at_s[kept].tolist(), strict=True))
        added = list(zip(new.user[kept].tolist(), new.at_s[kept].tolist(), strict=True))
        clicked = [number for number in new.number[kept].tolist() if number in self._waiting]
        return _new_events(added + self._label([(number, self._waiting.pop(number)) for number in clicked]))

    def click(self, clicks: pa.Table) -> NewEvents:
        """Add clicks (columns of `events.tables.click_rows`). Only the first report per impression counts."""
        number, label_s = clicks["impression_id"].to_pylist(), seconds(clicks["label_ts"].to_numpy()).tolist()
        reports = []
        for one, at_s in zip(number, label_s, strict=True):
            if one in self._when:
                reports.append((one, at_s))
            else:
                self._waiting[one] = min(at_s, self._waiting.get(one, np.inf))
                if len(self._waiting) > MOST_WAITING:
                    del self._waiting[next(iter(self._waiting))]
        return _new_events(self._label(reports))

    def _label(self, reports: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
        """Set the report times of clicks (number and time) of logged impressions. Returns the user and the time from
        which the click counts, of each report."""
        if not reports:
            return []
        counts_s = np.array([max(label_s, self._when[number]) for number, label_s in reports])
        place = np.array([self._place(number) for number, _ in reports])
        row = np.unique(place)
        first_s = np.full(len(row), np.inf)
        np.minimum.at(first_s, np.searchsorted(row, place), counts_s)
        at = np.searchsorted(self._clicked, row)
        is_new = np.isin(row, self._clicked[at[at < len(self._clicked)]], invert=True)
        old = at[~is_new]
        self._label_s[old] = np.minimum(self._label_s[old], first_s[~is_new])
        self._clicked = np.insert(self._clicked, at[is_new], row[is_new])
        self._label_s = np.insert(self._label_s, at[is_new], first_s[is_new])
        return list(zip(self._columns["user"][place].tolist(), counts_s.tolist(), strict=True))

    def _place(self, number: int) -> int:
        """The row of a logged impression."""
        there, at_s = self._columns["at_s"][: self._count], self._when[number]
        first, last = (int(np.searchsorted(there, at_s, side)) for side in ("left", "right"))
        return first + int(np.searchsorted(self._columns["number"][first:last], number))

    def _put_in_order(self, old: int, count: int) -> None:
        """Merge the events that were appended at `old` into the sorted rest."""
        at_s = self._columns["at_s"]
        first = int(np.searchsorted(at_s[:old], at_s[old:count].min()))
        if first == old:
            return
        order = first + np.lexsort((self._columns["number"][first:count], at_s[first:count]))
        for values in self._columns.values():
            values[first:count] = values[order]
        moved = int(np.searchsorted(self._clicked, first))
        now = first + np.argsort(order)[self._clicked[moved:] - first]
        again = np.argsort(now)
        self._clicked = np.append(self._clicked[:moved], now[again])
        self._label_s = np.append(self._label_s[:moved], self._label_s[moved:][again])


def _new_events(pairs: Iterable[tuple[int, float]]) -> NewEvents:
    found = list(pairs)
    return NewEvents(np.array([user for user, _ in found], np.int64), np.array([at_s for _, at_s in found], np.float64))
