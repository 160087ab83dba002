"""The world's clock. It resumes at the end of the world's log and then runs at the speed of real time.

With wall-clock time, synthetic features would be stale after a day, because the generated history ends on a fixed date.
Processes of one world share a clock through a small file that each process renews. The clock runs while at least one
process runs. After all processes have stopped, the clock resumes at the end of the log.
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

CLOCK_FILE = "clock.json"
"""name of the clock file in a live log's directory"""
RENEW_S, STOPPED_S = 5.0, 30.0
"""Seconds between renewals of the clock file, and the age at which a file belongs to a stopped world."""


class WorldClock:
    """`now()` is `anchor` (seconds since the epoch, UTC) plus the seconds since the clock was constructed."""

    def __init__(self, anchor: float) -> None:
        self._anchor, self._started = anchor, time.monotonic()

    def now(self) -> float:
        return self._anchor + time.monotonic() - self._started

    def at_least(self, world_s: float) -> None:
        """Advance the clock to `world_s` if it is earlier, because a newer log exists."""
        self._anchor += max(0.0, world_s - self.now())


class SharedClock(WorldClock):
    """A clock that all processes with the same `path` share. `resume_at` is the end of the log."""

    def __init__(self, path: Path, resume_at: float) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            running = world_time(path)
            super().__init__(resume_at if running is None else max(running, resume_at))
            self._renew()
        self._stop = threading.Event()
        threading.Thread(target=self._keep, name="world-clock", daemon=True).start()

    def at_least(self, world_s: float) -> None:
        with _locked(self._path):
            super().at_least(max(world_s, world_time(self._path) or world_s))
            self._renew()

    def close(self) -> None:
        self._stop.set()

    def _keep(self) -> None:
        while not self._stop.wait(RENEW_S):
            self.at_least(0.0)

    def _renew(self) -> None:
        write_atomically(self._path, json.dumps({"world_s": self.now(), "wall_s": time.time()}))


def world_time(path: Path) -> float | None:
    """The world's time according to the clock file of its processes; None if the world is not running."""
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
