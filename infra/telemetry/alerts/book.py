"""The alerts that fire and those that have ended, in one bounded file in the run directory.

The monitor writes the file; services read it for their front page, so that no page depends on the monitor's port.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from infra.files import write_atomically
from infra.settings import Settings
from infra.telemetry.alerts.alert import Alert, Key

FILE = "alerts.json"
KEPT, MOST_ACTIVE = 200, 1000
WRITE_EVERY_S = 20.0
CURRENT_S = 60.0
"""A file that was not written for this long belongs to a monitor that does not run."""


@dataclass(frozen=True)
class AlertList:
    """The content of the file. `recent` are the ended alerts, newest first."""

    active: tuple[Alert, ...] = ()
    recent: tuple[Alert, ...] = ()
    written_ts: float = 0.0

    def is_current(self, now: float) -> bool:
        return now - self.written_ts < CURRENT_S

    def row(self) -> dict[str, Any]:
        return {"active": [asdict(one) for one in self.active], "recent": [asdict(one) for one in self.recent]}


class AlertBook:
    """Keeps alerts by their labels. At most `KEPT` ended alerts and `MOST_ACTIVE` firing ones are kept, the newest.

    Several threads may use a book: a reader never sees a change half done.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path, self._now, self._lock = path, now, threading.RLock()
        found = read_alerts(path)
        self._active: dict[Key, Alert] = {alert.key: alert for alert in found.active}
        self._recent: list[Alert] = list(found.recent)
        self._written_ts = 0.0

    def fire(self, alert: Alert) -> None:
        """Add an alert. An alert that already fires keeps its start and gets the new text."""
        with self._lock:
            known = self._active.pop(alert.key, None)
            starts_ts, seen_ts = (known.starts_ts, known.seen_ts) if known else (alert.starts_ts, self._now())
            self._active[alert.key] = replace(alert, starts_ts=starts_ts, seen_ts=seen_ts, ends_ts=None)
            while len(self._active) > MOST_ACTIVE:
                del self._active[next(iter(self._active))]

    def end(self, key: Key, ends_ts: float) -> None:
        """Move an alert to the ended ones. Does nothing if it does not fire."""
        with self._lock:
            if alert := self._active.pop(key, None):
                self._recent = [replace(alert, ends_ts=ends_ts), *self._recent][:KEPT]

    def replace(self, firing: Iterable[Alert]) -> None:
        """Take `firing` as all alerts that fire now, and end the others."""
        found = {alert.key: alert for alert in firing}
        with self._lock:
            for key in [key for key in self._active if key not in found]:
                self.end(key, self._now())
            for alert in found.values():
                self.fire(alert)

    def listed(self) -> AlertList:
        with self._lock:
            active = sorted(self._active.values(), key=lambda alert: -alert.starts_ts)
            return AlertList(tuple(active), tuple(self._recent), self._now())

    def save(self, *, force: bool = True) -> None:
        """Write the file. Without `force`, only if it would soon count as out of date."""
        with self._lock:
            if force or self._now() - self._written_ts > WRITE_EVERY_S:
                self._written_ts = self._now()
                write_atomically(self._path, orjson.dumps(asdict(self.listed())).decode())


def alert_file(settings: Settings) -> Path:
    return settings.run_dir / FILE


def read_alerts(path: Path) -> AlertList:
    """Read the file; an empty list if it is missing or damaged."""
    try:
        found = orjson.loads(path.read_bytes())
        lists = {name: tuple(Alert(**row) for row in found[name]) for name in ("active", "recent")}
        return AlertList(**lists, written_ts=found["written_ts"])
    except (OSError, ValueError, TypeError, KeyError):
        return AlertList()
