"""The world's time. It resumes where the world's log ends and then runs as fast as ours.

Synthetic features would otherwise grow stale overnight: a history that ended on a fixed date is a day old tomorrow, and
every age in it would be wrong. Processes that share a world share a clock, through a small file that each of them
renews: while one of them runs, time goes on; when all had stopped, it resumes where the log ends.
"""

from __future__ import annotations

import fcntl
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.files import write_atomically

RENEW_S, STOPPED_S = 5.0, 30.0
"""a file that nobody renewed for so long belongs to a world that stood still"""


class WorldClock:
    """`now()` is `anchor` (seconds since the epoch, UTC) plus the seconds since this object was made."""

    def __init__(self, anchor: float) -> None:
        self._anchor, self._started = anchor, time.monotonic()

    def now(self) -> float:
        return self._anchor + time.monotonic() - self._started

    def at_least(self, world_s: float) -> None:
        """Never earlier than this from now on: a newer log is there."""
        self._anchor += max(0.0, world_s - self.now())


class SharedClock(WorldClock):
    """A clock that every process which opens the same `path` reads alike. `resume_at` is where the log ends."""

    def __init__(self, path: Path, resume_at: float) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            running = _read(path)
            super().__init__(resume_at if running is None else max(running, resume_at))
            self._renew()
        self._stop = threading.Event()
        threading.Thread(target=self._keep, name="world-clock", daemon=True).start()

    def at_least(self, world_s: float) -> None:
        with _locked(self._path):
            super().at_least(max(world_s, _read(self._path) or world_s))
            self._renew()

    def close(self) -> None:
        self._stop.set()

    def _keep(self) -> None:
        while not self._stop.wait(RENEW_S):
            self.at_least(0.0)

    def _renew(self) -> None:
        write_atomically(self._path, json.dumps({"world_s": self.now(), "wall_s": time.time()}))


def _read(path: Path) -> float | None:
    """The world's time by the file; None where it is not running."""
    try:
        found = json.loads(path.read_text())
        gone_s = time.time() - found["wall_s"]
        return float(found["world_s"] + gone_s) if -STOPPED_S < gone_s < STOPPED_S else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
