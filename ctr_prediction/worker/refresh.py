"""The effect that refreshes features: about once a second it pushes new rows of active users to the online store and
writes the live counts of ads and campaigns, with today's spending.

It uses the aggregation functions of the offline step, over the history and the live log; counts go on from one refresh
to the next (`features.running`). A row has a whole second t as its timestamp and includes the events received before t,
so training can join the same values later. The log determines all of its state, so a kill at any moment loses nothing:
a restart reads the log, resumes after it, and pushes the rows of all users with events since the build. A click of the
history with a report time after its end counts from that time on.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import Ints
from ctr_prediction.events.history import EventLog, PublicCatalogue, event_log, read_clicks, read_shown
from ctr_prediction.events.paths import CLICKS, SHOWN
from ctr_prediction.events.schemas import TOPICS, Click, Impression
from ctr_prediction.events.tables import click_rows, shown_rows
from ctr_prediction.features.running import RunningCounts
from ctr_prediction.features.user_row import VIEW, user_now
from ctr_prediction.features.views import open_store
from ctr_prediction.items.live_counts import stats_of
from ctr_prediction.worker.append_log import GrowingLog, NewEvents
from ctr_prediction.worker.metrics import OnlineMetrics
from infra.build.memory import trim_memory
from infra.columns import DAY_S
from infra.live.clock import WorldClock
from infra.registry.release import CURRENT, Release, read_release
from infra.settings import Settings
from infra.stream.consumer import Received
from infra.stream.refresh_timing import AppliedOffsets, Refresher

log = logging.getLogger(__name__)
FOLDERS = {TOPICS.impressions: SHOWN, TOPICS.clicks: CLICKS}
"""Topic -> the folder of the live log that holds its events."""
REMEMBERED = 50_000
"""number of recent events to keep; the log sink has written all older ones"""


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
        self._counts: RunningCounts
        self._late: set[int] = set()
        """users with events that arrived after the effect had aggregated their second"""
        self._recent: deque[Impression | Click] = deque(maxlen=REMEMBERED)
        self._timing, self._offsets, self._newest_ts = Refresher(root, clock), AppliedOffsets(), 0.0

    def resume(self, epoch: str) -> Mapping[tuple[str, int], int]:
        """Return the offsets to resume from. The first call loads the log and resumes after it; later calls resume
        after the last applied events."""
        is_first = self._release is None
        if is_first:
            self._offsets.start(epoch, self._live, FOLDERS)
            self._load(read_release(self._root))
        self._timing.resume()
        return self._offsets.resume(epoch, is_first=is_first)

    def known(self) -> Iterable[str]:
        return ()

    def apply(self, batch: Sequence[Received]) -> None:
        self._timing.take(batch)
        events = [received.event for received in batch]
        self._take(events)
        self._metrics.count_impressions([event for event in events if isinstance(event, Impression)])
        self._metrics.clicked([event for event in events if isinstance(event, Click)])
        self._offsets.take(batch)

    def _take(self, events: Sequence[Impression | Click]) -> None:
        """Apply new events, impressions before their clicks."""
        shown = [event for event in events if isinstance(event, Impression)]
        clicks = [event for event in events if isinstance(event, Click)]
        if shown:
            self._note(self._log.add(shown_rows(shown)))
        if clicks:
            self._note(self._log.click(click_rows(clicks)))
        self._recent.extend(events)

    def _note(self, added: NewEvents) -> None:
        self._counts.changed(added.at_s.min(initial=np.inf))
        self._newest_ts = max(self._newest_ts, added.at_s.max(initial=0.0))
        self._late.update(added.user[added.at_s < self._timing.counted_ts].tolist())

    def tick(self) -> None:
        """Push rows and write counts if a refresh is due. If the store is unavailable, the effect keeps the events and
        retries."""
        release = self._timing.new_release(self._release)
        if release is not None:
            self._load(release)
        has_new = bool(self._late) or self._newest_ts >= self._timing.counted_ts
        at_ts = self._timing.due_ts(has_new=has_new)
        if at_ts is not None:
            self.try_refresh(at_ts)

    def try_refresh(self, at_ts: float) -> None:
        """Refresh as of `at_ts`. If the store is unavailable, the next call retries."""
        with self._timing.refreshing(at_ts):
            self.refresh(at_ts)

    def refresh(self, at_ts: float) -> None:
        """Push the rows of all users with new events, as of `at_ts`, and write the counts of ads and campaigns."""
        known = self._log.log
        users = np.union1d(touched(known, self._timing.counted_ts, at_ts), np.array(sorted(self._late), np.int64))
        if len(users):
            self._store.push(VIEW, rows_for_store(known, self._catalogue, self._config, at_ts, users))
        self._late.clear()
        stats_of(self._counts.at(known, at_ts), known, self._catalogue, at_ts).write(self._stats)

    def _load(self, release: Release) -> None:
        """Rebuild the whole state for this release, from the history and the live log."""
        world = Path(json.loads((self._root / CURRENT).read_text())["world"])
        self._catalogue = PublicCatalogue.read(world)
        self._log = GrowingLog(event_log(world, None, self._catalogue), self._catalogue)
        history = len(self._log)
        self._counts = RunningCounts(len(self._catalogue.ads), self._config.features.window_days * DAY_S)
        self._store = open_store(Path(release.features_path), self._settings, online_only=True)
        self._clock.at_least(release.world_now)
        self._timing.begin(release)
        self._newest_ts, self._late = release.world_now, set()
        shown, clicks = read_shown(self._live), read_clicks(self._live)
        if shown is not None:
            self._log.add(shown)  # events before the build are not late: the build includes them
        if clicks is not None:
            self._log.click(clicks)
        recent, self._recent = list(self._recent), deque(maxlen=REMEMBERED)
        self._take(recent)  # events that the log sink has not written yet
        self._release = release
        self._counts.at(self._log.log, release.world_now)
        trim_memory()  # reading and the first count need three times the memory of the result
        log.info("counting %d impressions, %d of them from the live log", len(self._log), len(self._log) - history)


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
