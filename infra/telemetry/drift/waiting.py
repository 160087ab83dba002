"""Units that wait for their maturity, and labels that wait for their unit, between two runs of the monitor."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from infra.telemetry.drift.observed import Array, Ints, Labels, Units

MOST_UNITS = 500_000
"""units that wait at most; the oldest are given up"""
COLUMNS = tuple(item.name for item in fields(Units))


@dataclass(frozen=True)
class Waiting:
    """`units` and `labels` of earlier files. A label waits for one more window, because its prediction is another
    topic's event and may be written later."""

    units: Units
    labels: Labels

    def step(self, new: Units, labels: Labels, now_ts: float) -> tuple[Units, Waiting, int]:
        """(units that are mature at `now_ts`, what waits now, number of labels given up)."""
        units = Units.joined([self.units, new])
        units = units.take(np.arange(max(len(units) - MOST_UNITS, 0), len(units)))
        again = _put(units, self.labels)
        unmatched = _put(units, labels)
        is_mature = units.mature_ts <= now_ts
        left = Waiting(units.take(~is_mature), Labels(labels.id[unmatched], labels.actual[unmatched]))
        return units.take(is_mature), left, len(again)

    def write(self, file: Path) -> None:
        columns = {name: getattr(self.units, name) for name in COLUMNS}
        aside = file.with_suffix(".partial")
        with aside.open("wb") as out:
            np.savez(out, label_id=self.labels.id, label_actual=self.labels.actual, **columns)
            out.flush()
            os.fsync(out.fileno())
        aside.rename(file)

    @classmethod
    def read(cls, file: Path, like: Units | None = None) -> Waiting:
        """Nothing waits without a file, or with one whose units have other columns than those of `like`."""
        try:
            with np.load(file, allow_pickle=False) as stored:
                units = Units(*(stored[name] for name in COLUMNS))
                if like is None or all(
                    getattr(units, name).shape[1:] == getattr(like, name).shape[1:] for name in COLUMNS
                ):
                    return cls(units, Labels(stored["label_id"], stored["label_actual"]))
        except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile):
            pass
        return cls(
            Units.none(1) if like is None else like.take(np.zeros(0, np.int64)),
            Labels(np.zeros(0, np.int64), np.zeros(0)),
        )


def _put(units: Units, labels: Labels) -> Ints:
    """Set `units.actual` in place. Returns the labels (their places) that belong to no unit."""
    order = np.argsort(units.id, kind="stable")
    ids = units.id[order]
    place = np.searchsorted(ids, labels.id)
    is_found = (place < len(ids)) & (ids[np.minimum(place, max(len(ids) - 1, 0))] == labels.id if len(ids) else False)
    found = np.broadcast_to(is_found, labels.id.shape)
    target: Ints = order[place[found]]
    values: Array = labels.actual[found]
    current = np.where(np.isnan(units.actual), -np.inf, units.actual)
    np.maximum.at(current, target, values)
    units.actual[:] = np.where(np.isneginf(current), np.nan, current)
    return np.flatnonzero(~found)
