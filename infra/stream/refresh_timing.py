"""When a worker refreshes features: about once a second, after late events have arrived and the backlog is read.

A worker refreshes as of a whole second t of the world's clock, after the events before t had `SETTLE_S` to arrive.
After a pause, the worker first reads the backlog. If the store does not answer, the worker retries a second later.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.errors import DependencyError
from infra.live.clock import WorldClock
from infra.registry.release import Release, read_release
from infra.stream.consumer import Received
from infra.stream.kafka_client import PARTITIONS
from infra.stream.sink import next_offsets

log = logging.getLogger(__name__)
SETTLE_S = 1.0
"""Seconds that an event may take to arrive before the worker counts the event's second."""
REFRESH_S, IDLE_S, LOOK_S = 0.2, 60.0, 1.0
BEHIND_S = 10.0
"""Longest wait for the backlog after a pause, in seconds. Events that arrive later count as late."""


class Refresher:
    """Decides when to refresh; the caller refreshes. Not thread-safe.

    `counted_ts` is the as-of time of the last written features, in seconds since the epoch.
    """

    def __init__(self, root: Path, clock: WorldClock) -> None:
        self._root, self._clock = root, clock
        self.counted_ts = 0.0
        self._looked_s = self._tried_s = self._wrote_s = 0.0
        self._behind_since_s: float | None = time.monotonic()
        self._took = False

    def begin(self, release: Release) -> None:
        """Start from the features of the build of `release`, and refresh at the next opportunity. Loading a release
        takes seconds, so the worker first reads the events that arrive meanwhile."""
        self.counted_ts, self._wrote_s = release.world_now, 0.0
        self._behind_since_s, self._took = time.monotonic(), True

    def resume(self) -> None:
        """Assume a backlog, because the consumer starts or resumes reading."""
        self._behind_since_s = time.monotonic()

    def take(self, batch: Sequence[Received]) -> None:
        """Note that `batch` was read, and whether the worker is behind."""
        self._took = True
        if time.time() - min(received.acked_s for received in batch) > SETTLE_S and self._behind_since_s is None:
            self._behind_since_s = time.monotonic()

    def new_release(self, served: Release | None) -> Release | None:
        """The current release if it differs from `served`, else None. The file is read at most once a second."""
        now_s = time.monotonic()
        if now_s - self._looked_s <= LOOK_S:
            return None
        self._looked_s = now_s
        release = read_release(self._root)
        return None if release == served else release

    def due_ts(self, *, has_new: bool) -> float | None:
        """The as-of time of a due refresh, in seconds since the epoch, or None. Call it once per tick.

        Without new events a refresh is due once a minute, because the time windows of the features move.
        """
        now_s = time.monotonic()
        if not self._took:  # the backlog is read
            self._behind_since_s = None
        self._took = False
        if now_s - self._tried_s < REFRESH_S or not (has_new or now_s - self._wrote_s > IDLE_S):
            return None
        if self._behind_since_s is not None and now_s - self._behind_since_s < BEHIND_S:
            return None
        self._tried_s = now_s
        at_ts = math.floor(self._clock.now() - SETTLE_S)
        return float(at_ts) if at_ts > self.counted_ts else None

    @contextmanager
    def refreshing(self, at_ts: float) -> Iterator[None]:
        """Wrap a refresh as of `at_ts`. A `DependencyError` inside delays the next attempt and is logged."""
        try:
            yield
        except DependencyError as exc:
            self._tried_s += LOOK_S
            log.warning("features were not pushed; the worker will retry: %s", exc)
        else:
            self.counted_ts, self._wrote_s = at_ts, time.monotonic()


class AppliedOffsets:
    """The next offset that an effect has to apply, by topic and partition."""

    def __init__(self) -> None:
        self._epoch, self._next = "", dict[tuple[str, int], int]()

    def start(self, epoch: str, live: Path, folders: Mapping[str, str]) -> None:
        """Start after the log in `live`; `folders` maps a topic to its folder.

        A topic with an empty folder starts at 0, because the group's committed offsets do not describe the log.
        """
        for topic, folder in folders.items():
            written = dict.fromkeys(range(PARTITIONS), 0) | next_offsets(live / folder, epoch)
            self._next |= {(topic, number): at for number, at in written.items()}

    def resume(self, epoch: str, *, is_first: bool) -> Mapping[tuple[str, int], int]:
        """Offsets to resume from. They are empty in each new epoch of the broker after the first."""
        if not is_first and epoch != self._epoch:
            self._next = {}
        self._epoch = epoch
        return self._next

    def take(self, batch: Sequence[Received]) -> None:
        for received in batch:
            self._next[received.topic, received.partition] = received.offset + 1
