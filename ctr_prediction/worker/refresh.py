"""The effect that refreshes features: about once a second it pushes new rows of active users to the online store and
writes the live counts of ads and campaigns, with today's spending.

It uses the aggregation functions of the offline step, over the history and the live log. A row has a whole second t as
its timestamp and includes the events received before t, so training can join the same values later. The log determines
all of its state, so a kill at any moment loses nothing: a restart reads the log, resumes after it, and pushes the rows
of all users with events since the build. A click of the history with a report time after its end counts from that time
on.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import Ints
from ctr_prediction.events.history import EventLog, PublicCatalogue, event_log, read_clicks, read_shown
from ctr_prediction.events.paths import CLICKS, SHOWN
from ctr_prediction.events.schemas import TOPICS, Click, Impression
from ctr_prediction.events.tables import click_rows, shown_rows
from ctr_prediction.features.user_row import VIEW, user_now
from ctr_prediction.features.views import open_store
from ctr_prediction.items.live_counts import stats_at
from ctr_prediction.worker.append_log import GrowingLog, Heard
from ctr_prediction.worker.metrics import OnlineMetrics
from infra.errors import DependencyError
from infra.live.clock import WorldClock
from infra.registry.release import CURRENT, Release, read_release
from infra.settings import Settings
from infra.stream.consumer import Received
from infra.stream.kafka_client import PARTITIONS
from infra.stream.sink import next_offsets

log = logging.getLogger(__name__)
SETTLE_S = 1.0
"""seconds to wait for events in flight before the effect aggregates a second"""
REFRESH_S, IDLE_S, LOOK_S = 0.2, 60.0, 1.0
BEHIND_S = 10.0
"""seconds to wait after a pause for the events of the pause; events after that are late"""
REMEMBERED = 50_000
"""events to keep until the log sink has certainly written them"""


class FeatureEffect:
    """See `infra.stream.consumer.Effect`."""

    def __init__(
        self, settings: Settings, root: Path, live: Path, stats: Path, config: CtrConfig, clock: WorldClock,
        metrics: OnlineMetrics,
    ) -> None:  # fmt: skip
        self._settings, self._root, self._live, self._stats, self._config = settings, root, live, stats, config
        self._clock, self._metrics = clock, metrics
        self._release: Release | None = None
        self._catalogue: PublicCatalogue
        self._log: GrowingLog
        self._late: set[int] = set()
        """users with events that arrived after the effect had aggregated their second"""
        self._recent: deque[Impression | Click] = deque(maxlen=REMEMBERED)
        self._epoch, self._next = "", dict[tuple[str, int], int]()
        self._counted_ts = self._newest_ts = self._looked_s = self._tried_s = self._wrote_s = 0.0
        self._behind_since_s: float | None = time.monotonic()
        self._took = False

    def resume(self, epoch: str) -> Mapping[tuple[str, int], int]:
        """On the first call, read the whole log and resume after it. Later, resume after the applied events."""
        if self._release is None:
            for topic, folder in ((TOPICS.impressions, SHOWN), (TOPICS.clicks, CLICKS)):
                # without a log, start at the beginning: the committed offsets do not describe the log
                written = dict.fromkeys(range(PARTITIONS), 0) | next_offsets(self._live / folder, epoch)
                self._next |= {(topic, number): at for number, at in written.items()}
            self._load(read_release(self._root))
        elif epoch != self._epoch:
            self._next = {}
        self._epoch, self._behind_since_s = epoch, time.monotonic()
        return self._next

    def known(self) -> Iterable[str]:
        return ()

    def apply(self, batch: Sequence[Received]) -> None:
        self._took = True
        if time.time() - min(received.acked_s for received in batch) > SETTLE_S and self._behind_since_s is None:
            self._behind_since_s = time.monotonic()
        events = [received.event for received in batch]
        self._take(events)
        self._metrics.saw([event for event in events if isinstance(event, Impression)])
        self._metrics.clicked([event for event in events if isinstance(event, Click)])
        for received in batch:
            self._next[received.topic, received.partition] = received.offset + 1

    def _take(self, events: Sequence[Impression | Click]) -> None:
        """Apply new events; impressions before their clicks."""
        shown = [event for event in events if isinstance(event, Impression)]
        clicks = [event for event in events if isinstance(event, Click)]
        if shown:
            self._note(self._log.add(shown_rows(shown)))
        if clicks:
            self._note(self._log.click(click_rows(clicks)))
        self._recent.extend(events)

    def _note(self, heard: Heard) -> None:
        self._newest_ts = max(self._newest_ts, heard.at_s.max(initial=0.0))
        self._late.update(heard.user[heard.at_s < self._counted_ts].tolist())

    def tick(self) -> None:
        """Push and write the due rows. If the store fails, keep the events and retry on the next tick."""
        now_s = time.monotonic()
        if not self._took:  # the consumer has caught up
            self._behind_since_s = None
        self._took = False
        if now_s - self._looked_s > LOOK_S:
            self._looked_s = now_s
            release = read_release(self._root)
            if release != self._release:
                self._load(release)
        is_new = bool(self._late) or self._newest_ts >= self._counted_ts
        if now_s - self._tried_s < REFRESH_S or not (is_new or now_s - self._wrote_s > IDLE_S):
            return
        if self._behind_since_s is not None and now_s - self._behind_since_s < BEHIND_S:
            return  # older events are still unread, so a row as of now would be incomplete
        self._tried_s = now_s
        at_ts = math.floor(self._clock.now() - SETTLE_S)
        if at_ts <= self._counted_ts:
            return
        try:
            self.refresh(float(at_ts))
        except DependencyError as exc:
            self._tried_s = now_s + LOOK_S
            log.warning("pushing features failed, retrying: %s", exc)

    def refresh(self, at_ts: float) -> None:
        """Push the rows of all users with new events, as of `at_ts`, and write the counts of ads and campaigns."""
        known = self._log.log
        users = np.union1d(touched(known, self._counted_ts, at_ts), np.array(sorted(self._late), np.int64))
        if len(users):
            self._store.push(VIEW, rows_for_store(known, self._catalogue, self._config, at_ts, users))
        self._late.clear()
        stats_at(known, self._catalogue, self._config, at_ts).write(self._stats)
        self._counted_ts, self._wrote_s = at_ts, time.monotonic()

    def _load(self, release: Release) -> None:
        """Rebuild the whole state for this release, from the history and the live log."""
        world = Path(json.loads((self._root / CURRENT).read_text())["world"])
        self._catalogue = PublicCatalogue.read(world)
        self._log = GrowingLog(event_log(world, None, self._catalogue), self._catalogue)
        history = len(self._log)
        self._store = open_store(Path(release.features_path), self._settings, online_only=True)
        self._clock.at_least(release.world_now)
        self._counted_ts, self._wrote_s = release.world_now, 0.0
        self._newest_ts, self._late = release.world_now, set()
        shown, clicks = read_shown(self._live), read_clicks(self._live)
        if shown is not None:
            self._log.add(shown)  # events before the build are not late: the build includes them
        if clicks is not None:
            self._log.click(clicks)
        recent, self._recent = list(self._recent), deque(maxlen=REMEMBERED)
        self._take(recent)  # events that the log sink has not written yet
        self._release = release
        pa.default_memory_pool().release_unused()  # reading needs three times the memory of the result
        log.info("counting from %d impressions, %d of them live", len(self._log), len(self._log) - history)


def touched(known: EventLog, from_ts: float, to_ts: float) -> Ints:
    """int64[m]: users with events in from_ts <= t < to_ts."""
    window_s = to_ts - from_ts
    some = (known.user[known.before(to_ts, window_s)], known.user[known.clicks_before(to_ts, window_s)])
    return np.unique(np.concatenate(some))


def rows_for_store(
    known: EventLog, catalogue: PublicCatalogue, config: CtrConfig, at_ts: float, users: Ints
) -> pd.DataFrame:
    """Rows of the view `user_now`, as of `at_ts`, of `users` int64[m] in ascending order."""
    table = user_now(known.of_users(users), catalogue, config, at_ts, users)
    rows: pd.DataFrame = table.to_pandas().rename(columns={"feature_ts": "event_ts"})
    return rows
