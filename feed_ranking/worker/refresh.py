"""The effect that refreshes features: about once a second it pushes new rows of active users to the online store and
writes the live counts of posts and creators.

It uses the aggregation functions of the offline step, over the history and the live log; counts go on from one refresh
to the next (`features.running`). A row has a whole second t as its timestamp and includes the events before t, so
training can join the same values later. The log determines all of its state, so a kill at any moment loses nothing: a
restart reads the log, resumes after it, and pushes the rows of all users with events since the build.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from feed_ranking.config import FeedConfig
from feed_ranking.domain import Ids
from feed_ranking.events.history import EventLog, PublicCatalogue, read_catalogue, read_log, read_reactions
from feed_ranking.events.paths import LOG, POSTS
from feed_ranking.events.schemas import TOPICS, Impression, PostPublished, Reaction
from feed_ranking.events.tables import post_rows, reaction_rows
from feed_ranking.features.aggregates import activity_at
from feed_ranking.features.running import RunningCounts
from feed_ranking.features.views import open_store
from feed_ranking.items.live_counts import stats_at
from feed_ranking.worker.append_log import GrowingLog
from feed_ranking.worker.metrics import OnlineMetrics
from infra.build.memory import trim_memory
from infra.columns import DAY_S
from infra.live.clock import WorldClock
from infra.registry.release import CURRENT, Release, read_release
from infra.settings import Settings
from infra.stream.consumer import Received
from infra.stream.refresh_timing import AppliedOffsets, Refresher

log = logging.getLogger(__name__)
REMEMBERED = 50_000
"""number of recent events to keep; the log sink has written all older ones"""
VIEW = "user_activity"
FOLDERS = {TOPICS.reactions: LOG, TOPICS.posts: POSTS}
"""Topic -> the folder of the live log that holds its events."""


class FeatureEffect:
    """See `infra.stream.consumer.Effect`."""

    def __init__(
        self, settings: Settings, root: Path, live: Path, stats: Path, config: FeedConfig, clock: WorldClock,
        metrics: OnlineMetrics,
    ) -> None:  # fmt: skip
        self._settings, self._root, self._live, self._stats, self._config = settings, root, live, stats, config
        self._clock, self._metrics = clock, metrics
        self._release: Release | None = None
        self._catalogue: PublicCatalogue
        self._log: GrowingLog
        self._counts: RunningCounts
        self._joined: npt.NDArray[np.float64]
        self._pending: dict[int, float] = {}
        self._known: set[int] = set()
        self._recent: deque[PostPublished | Reaction] = deque(maxlen=REMEMBERED)
        self._timing, self._offsets = Refresher(root, clock), AppliedOffsets()

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
        self._take([event for event in events if isinstance(event, PostPublished | Reaction)])
        impressions = [event for event in events if isinstance(event, Impression) and not isinstance(event, Reaction)]
        self._metrics.count_impressions(impressions, self._joined)
        self._metrics.count_reactions([event for event in events if isinstance(event, Reaction)])
        self._offsets.take(batch)

    def _take(self, events: Sequence[PostPublished | Reaction]) -> None:
        """Apply new events, posts before the reactions to them."""
        posts = [event for event in events if isinstance(event, PostPublished)]
        if posts:
            self._catalogue = self._catalogue.with_posts(post_rows(posts).to_pandas())
        new = [event for event in events if isinstance(event, Reaction) and event.number not in self._known]
        if new:
            self._counts.changed(self._log.add(reaction_rows(new), self._catalogue).min(initial=np.inf))
            self._known.update(event.number for event in new)
            for event in new:
                if 0 <= event.user_id < len(self._catalogue.people):
                    self._pending[event.user_id] = max(self._pending.get(event.user_id, 0.0), event.label_ts)
        self._recent.extend(events)

    def tick(self) -> None:
        """Push rows and write counts if a refresh is due. If the store is unavailable, the effect keeps the events and
        retries."""
        release = self._timing.new_release(self._release)
        if release is not None:
            self._load(release)
        has_new = bool(self._pending)
        at_ts = self._timing.due_ts(has_new=has_new)
        if at_ts is not None:
            self.try_refresh(at_ts)

    def try_refresh(self, at_ts: float) -> None:
        """Refresh as of `at_ts`. If the store is unavailable, the next call retries."""
        with self._timing.refreshing(at_ts):
            self.refresh(at_ts)

    def refresh(self, at_ts: float) -> None:
        """Push the rows of all users with new events, as of `at_ts`, and write the counts of posts and creators."""
        known = self._log.log
        if self._pending:
            users = np.array(sorted(self._pending), np.int64)
            rows = activity_rows(known, self._config, at_ts, users)
            if len(rows):
                self._store.push(VIEW, rows)
            self._pending = {user: last for user, last in self._pending.items() if last >= at_ts}
        stats_at(known, self._catalogue, self._config, at_ts, self._counts).write(self._stats)

    def _load(self, release: Release) -> None:
        """Rebuild the whole state for this release, from the history and the live log."""
        world = Path(json.loads((self._root / CURRENT).read_text())["world"])
        self._catalogue = read_catalogue(world, self._live)
        self._log = GrowingLog(EventLog.of(read_log(world, self._live), self._catalogue))
        self._counts = RunningCounts(self._config.features.window_days * DAY_S)
        logged = read_reactions(self._live, ["event_id"])
        self._known = set() if logged is None else set(logged["event_id"].to_pylist())
        self._joined = self._catalogue.creators["joined_ts"].to_numpy(np.float64)
        self._store = open_store(Path(release.features_path), self._settings, online_only=True)
        self._clock.at_least(release.world_now)
        everything = self._log.log
        built = int(np.searchsorted(everything.known_s, release.world_now))
        self._pending = dict(zip(everything.user[built:].tolist(), everything.known_s[built:].tolist(), strict=True))
        recent, self._recent = list(self._recent), deque(maxlen=REMEMBERED)
        self._take(recent)  # events that the log sink has not written yet
        self._release = release
        self._timing.begin(release)
        stats_at(self._log.log, self._catalogue, self._config, release.world_now, self._counts)
        trim_memory()  # reading and the first count need three times the memory of the result
        log.info("counting %d events, %d of them from the live log", len(everything), len(everything) - built)


def activity_rows(known: EventLog, config: FeedConfig, at_ts: float, users: Ids) -> pd.DataFrame:
    """Rows for the online store, as of `at_ts`, for the users in `users` with events."""
    rows: pd.DataFrame = activity_at(known, config, at_ts, users).to_pandas()
    return rows.rename(columns={"feature_ts": "event_ts"})
