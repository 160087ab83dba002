"""A log that grows by the second: impressions in order of time, and clicks that find theirs, sooner or much later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ctr_prediction.counting import EventLog, PublicCatalogue
from ctr_prediction.events import Click, Impression
from ctr_prediction.worker.rows import shown_rows

ROOM = 1.25
"""new arrays get a quarter more than they need, so that most growth copies nothing but itself"""
MOST_WAITING = 50_000
"""clicks whose impression has not been heard of"""


class GrowingLog:
    """`log` is always in order of `at_s`. Not for several threads."""

    def __init__(self, log: EventLog, first_live: int) -> None:
        """`first_live` is the first place whose impression may still be clicked: the history is closed."""
        self._columns: dict[str, npt.NDArray[Any]] = {name: getattr(log, name) for name in EventLog.__annotations__}
        self._count, self._first_live = len(log), first_live
        self._waiting: dict[int, float] = {}
        self._place = dict(zip(log.number[first_live:].tolist(), range(first_live, len(log)), strict=True))

    @property
    def log(self) -> EventLog:
        """What is there now, without a copy."""
        return EventLog(**{name: values[: self._count] for name, values in self._columns.items()})

    def show(self, events: Sequence[Impression], catalogue: PublicCatalogue) -> None:
        """Add impressions that were not there; those of an unknown user or ad are left out."""
        fresh = list({event.number: event for event in events if event.number not in self._place}.values())
        if not fresh:
            return
        table = shown_rows(fresh)
        nobody = np.zeros(len(fresh), bool)
        new = EventLog.of(
            table.append_column("clicked", [nobody]).append_column("label_ts", table["request_ts"]), catalogue
        )
        count = self._count + len(new)
        for name, values in self._columns.items():
            if count > len(values):
                wider = np.empty(int(count * ROOM) + 1, values.dtype)
                wider[: self._count] = values[: self._count]
                self._columns[name] = wider
            self._columns[name][self._count : count] = getattr(new, name)
        self._place |= dict(zip(new.number.tolist(), range(self._count, count), strict=True))
        old, self._count = self._count, count
        self._in_order(old)
        for number in new.number.tolist():
            if (label_s := self._waiting.pop(number, None)) is not None:
                self._label(number, label_s)

    def click(self, events: Sequence[Click]) -> None:
        """The first report of a click counts. One that comes before its impression waits."""
        for event in events:
            if event.number in self._place:
                self._label(event.number, event.label_ts)
            elif len(self._waiting) < MOST_WAITING:
                self._waiting.setdefault(event.number, event.label_ts)

    def _label(self, number: int, label_s: float) -> None:
        labels, place = self._columns["label_s"], self._place[number]
        labels[place] = min(labels[place], label_s)

    def _in_order(self, old: int) -> None:
        at_s = self._columns["at_s"]
        if not old or not self._count > old or at_s[old] >= at_s[old - 1]:
            return
        first = max(int(np.searchsorted(at_s[:old], at_s[old], side="right")), self._first_live)
        order = first + np.argsort(at_s[first : self._count], kind="stable")
        for name, values in self._columns.items():
            self._columns[name] = np.concatenate([values[:first], values[order]])
        numbers = self._columns["number"][first : self._count].tolist()
        self._place |= dict(zip(numbers, range(first, self._count), strict=True))
