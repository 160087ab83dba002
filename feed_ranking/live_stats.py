"""Counts of posts and creators as the worker writes them and every service reads them: one small file, replaced whole.

Serving needs no log for it, and a service that starts has the same counts as one that runs. `stats_ts` says as of when
they are, so that what was served can be counted again later.
"""

from __future__ import annotations

import logging
import os
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from feed_ranking.domain import POST_COLUMNS, Floats, Ids

log = logging.getLogger(__name__)
FILE = "stats.npz"
CONTENT = ("quality_signal", "bait_signal")
COUNTED = tuple(name for name in POST_COLUMNS if name not in CONTENT)
"""The columns of a post that are counted; the others are what a content model saw."""


@dataclass(frozen=True)
class LiveStats:
    """As of `stats_ts` (world time, s): `post_id` int64[n] with `posts` float32[n, COUNTED]; `creators`
    float32[creators, CREATOR_COLUMNS], a row for each id; `trending` int64[1 + regions, m] post ids, hottest first,
    everywhere and in each region."""

    stats_ts: float
    post_id: Ids
    posts: Floats
    creators: Floats
    trending: Ids

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        with aside.open("wb") as out:
            arrays: dict[str, Any] = {item.name: np.asarray(getattr(self, item.name)) for item in fields(self)}
            np.savez(out, **arrays)
        aside.replace(path)

    @classmethod
    def read(cls, path: Path) -> LiveStats:
        """Raises `OSError` or `ValueError` where there is none, or none that makes sense."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                values: dict[str, Any] = {item.name: stored[item.name] for item in fields(cls)}
        except (KeyError, EOFError, zipfile.BadZipFile) as exc:
            raise ValueError(f"{path} holds no counts: {exc}") from exc
        return cls(**values | {"stats_ts": float(values["stats_ts"])})


class StatsWatcher:
    """Looks at the file every `interval_s` from a thread and hands over what is new."""

    def __init__(self, path: Path, apply: Callable[[LiveStats], None], interval_s: float = 0.5) -> None:
        self._path, self._apply, self._interval_s = path, apply, interval_s
        self._seen: tuple[int, int] | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._watch, name="stats-watcher", daemon=True).start()

    def close(self) -> None:
        self._stop.set()

    def check(self) -> bool:
        """Look once; True if there was something new that makes sense."""
        try:
            found = self._path.stat()
            if (found.st_mtime_ns, found.st_ino) == self._seen:
                return False
            self._seen = (found.st_mtime_ns, found.st_ino)
            self._apply(LiveStats.read(self._path))
        except OSError:
            return False  # nobody has written it yet
        except ValueError as exc:
            log.warning("new counts cannot be used, the last ones stay: %s", exc)
            return False
        return True

    def _watch(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.check()
