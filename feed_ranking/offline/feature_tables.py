"""Step `features`: one Parquet file per feature view, with one row per entity and snapshot time.

Each build reads the whole log: a row counts the events of the days before it, so rows of new snapshots need old files.

A row with timestamp t includes the events with `label_ts` < t. It excludes an event of exactly t, because Feast joins
inclusively (feature time <= event time).

The worker refreshes served features about every second. Rows of the live log would otherwise join features from before
all live events, and a model would learn to distrust features that are fresh when it serves. So users, posts and
creators with new events get rows every `live_snapshot_s` seconds after the generated history.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feed_ranking.config import FeedConfig
from feed_ranking.domain import Ids
from feed_ranking.events.history import (
    EventLog,
    PublicCatalogue,
    read_catalogue,
    read_log,
)
from feed_ranking.features.aggregates import activity_at, creator_stats_at, post_stats_at, reactions_to_posts
from infra.build.runner import Facts, StepContext
from infra.columns import DAY_S, HOUR_S, lists, ragged, timestamps
from infra.live.kept_log import read_until

GROUP_ROWS = 100_000
USERS_AT_ONCE = 20_000


def compute_tables(context: StepContext) -> Facts:
    config: FeedConfig = context.config
    world, live = context.inputs["world"], context.inputs["live"]
    catalogue = read_catalogue(world, live)
    log = EventLog.of(read_log(world, live), catalogue)
    times = SnapshotTimes.of(config, read_until(live))
    makers = {
        "user_profile": lambda: user_profile(catalogue, config, times),
        "user_activity": lambda: user_activity(log, config, times),
        "post_content": lambda: post_content(catalogue),
        "post_stats": lambda: post_stats(log, catalogue, config, times),
        "creator_stats": lambda: creator_stats(log, catalogue, config, times),
    }
    total = 0
    for index, (view, make) in enumerate(makers.items()):
        rows = write_parts(context.out / f"{view}.parquet", make())
        total += rows
        context.report((index + 1) / len(makers), f"{view}: {rows:,} rows")
    return {"rows": total}


def write_parts(path: Path, parts: Iterator[pa.Table]) -> int:
    """Write a table that comes in at least one part, in row groups of about `GROUP_ROWS`, and return its number of
    rows. Only some parts are in memory at a time."""
    first = next(parts)
    waiting, rows = [first], 0
    with pq.ParquetWriter(path, first.schema) as writer:
        for part in parts:
            waiting.append(part)
            if sum(map(len, waiting)) >= GROUP_ROWS:
                rows += _written(writer, waiting)
                waiting = []
        return rows + _written(writer, waiting)


def _written(writer: pq.ParquetWriter, parts: list[pa.Table]) -> int:
    rows = sum(map(len, parts))
    if rows:
        writer.write_table(pa.concat_tables(parts))
    return rows


@dataclass(frozen=True)
class SnapshotTimes:
    """Snapshot times of the features, in seconds since the epoch: users and creators daily, posts every few hours, and
    all of them once more at the end of the live log. At the times `live`, `live_s` apart, only those with events since
    the time before it get a row."""

    daily: npt.NDArray[np.float64]
    posts: npt.NDArray[np.float64]
    live: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    live_s: float = 0.0

    @classmethod
    def of(cls, config: FeedConfig, until: float = 0.0) -> SnapshotTimes:
        """The snapshot times of the generated history, extended to `until` if that is later."""
        first = pd.Timestamp(config.world.start).timestamp()
        last = first + config.world.days * DAY_S
        step = config.features.post_snapshot_h * HOUR_S
        if until <= last:
            return cls(np.arange(first, last + 1, DAY_S), np.arange(first, last + 1, step))
        daily, posts = (np.append(np.arange(first, until, every), until) for every in (DAY_S, step))
        live_s = config.features.live_snapshot_s
        live = np.arange(first, until, live_s)
        return cls(daily, posts, live[live > last], live_s)

    def of_changes(self, log: EventLog, full: npt.NDArray[np.float64]) -> Iterator[tuple[float, slice]]:
        """The times of `live` that are not in `full`, each with its new events, if there are any."""
        for t in np.setdiff1d(self.live, full).tolist():
            new = log.before(t, self.live_s)
            if new.start < new.stop:
                yield t, new

    @property
    def last(self) -> float:
        """The last snapshot time: the end of the build's data."""
        return float(self.daily[-1])


def user_profile(catalogue: PublicCatalogue, config: FeedConfig, times: SnapshotTimes) -> Iterator[pa.Table]:
    """Region, declared topics and follows: a row at the start, on each day with new follows, and at the end."""
    follows, creators = catalogue.follows, catalogue.creators
    home = creators["topic"].to_numpy()
    for index, t in enumerate(times.daily):
        known = follows[follows["since_ts"] < t]
        changed = known[known["since_ts"] >= t - DAY_S]["user_id"].unique()
        is_edge = index in (0, len(times.daily) - 1)
        users = catalogue.people["user_id"].to_numpy() if is_edge else np.sort(changed)
        mine = known[known["user_id"].isin(users)]
        yield _profiles(catalogue.people, users, mine, home, config.world.topics, t)


def _profiles(people: pd.DataFrame, users: Ids, follows: pd.DataFrame, home: Ids, topics: int, t: float) -> pa.Table:
    row = np.searchsorted(users, follows["user_id"].to_numpy())
    creator = follows["creator_id"].to_numpy()
    count = np.bincount(row, minlength=len(users))
    by_topic = np.bincount(row * topics + home[creator], minlength=len(users) * topics).reshape(len(users), topics)
    share = by_topic / np.maximum(count, 1)[:, None]
    declared = people[[name for name in people.columns if name.startswith("declared_")]].to_numpy()[users]
    return pa.table(
        {
            "user_id": users.astype(np.int64),
            "region": people["region"].to_numpy()[users],
            "declared": lists(declared),
            "follows": ragged(creator, count),
            "follow_topics": lists(share.astype(np.float32)),
            "feature_ts": timestamps(np.full(len(users), t)),
        }
    )


def user_activity(log: EventLog, config: FeedConfig, times: SnapshotTimes) -> Iterator[pa.Table]:
    """Reactions of each user in the windows before each day, and before each live time for users with new events. Users
    without events get no row. Blocks of users come one after the other, because sorting the events of all users takes
    memory and leaves the processor's caches."""
    everyone = len(log.catalogue.people)
    for first in range(0, everyone, USERS_AT_ONCE):
        users = np.arange(first, min(first + USERS_AT_ONCE, everyone))
        mine = log if len(users) == everyone else log.of_users(users, slice(0, len(log)))
        for t in times.daily:
            yield activity_at(mine, config, t)
        for t, new in times.of_changes(mine, times.daily):
            yield activity_at(mine, config, t, np.unique(mine.user[new]))


def post_content(catalogue: PublicCatalogue) -> Iterator[pa.Table]:
    """Content features of each post, valid from its publication."""
    posts = catalogue.posts
    columns = {name: posts[name].to_numpy() for name in ("post_id", "topic", "media", "published_ts")}
    columns |= {name: posts[name].to_numpy(np.float32) for name in ("quality_signal", "bait_signal")}
    yield pa.table({**columns, "feature_ts": timestamps(posts["published_ts"].to_numpy())})


def post_stats(
    log: EventLog, catalogue: PublicCatalogue, config: FeedConfig, times: SnapshotTimes
) -> Iterator[pa.Table]:
    """Reactions to each post in total and in the last hours, and its heat: a row every few hours while it is alive, and
    a row at each live time if it has new events."""
    count, before = len(catalogue.posts), -np.inf
    total, ids = reactions_to_posts(log, slice(0), count), catalogue.posts["post_id"].to_numpy(np.int64)
    changed = dict(times.of_changes(log, times.posts))
    for t in sorted([*times.posts.tolist(), *changed]):
        total += reactions_to_posts(log, log.before(t, t - before), count)
        rows = post_stats_at(log, catalogue, config, t, total)
        yield _only(rows, "post_id", ids[log.post[changed[t]]]) if t in changed else rows
        before = t


def creator_stats(
    log: EventLog, catalogue: PublicCatalogue, config: FeedConfig, times: SnapshotTimes
) -> Iterator[pa.Table]:
    """Followers, posts, and reactions in the windows before each day, of every creator that has joined, and before each
    live time of creators with new events."""
    for t in times.daily.tolist():
        yield creator_stats_at(log, catalogue, config, t)
    for t, new in times.of_changes(log, times.daily):
        yield _only(creator_stats_at(log, catalogue, config, t), "creator_id", log.creator(new))


def _only(rows: pa.Table, name: str, ids: Ids) -> pa.Table:
    """The rows whose id in the column `name` is one of `ids`."""
    return rows.filter(pc.is_in(rows[name], value_set=pa.array(np.unique(ids))))
