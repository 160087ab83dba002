"""Step `features`: one Parquet file per feature view, a row per entity and snapshot time.

A row stamped t says what was known just before t: events whose label had arrived, `label_ts` < t. Feast joins
inclusively (feature time <= event time), so an event of exactly t must not be inside the row of t.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from feed_ranking.config import FeedConfig
from feed_ranking.domain import COUNTS, CREATOR_COUNTS, REACTIONS, REGION_UTC_OFFSET_H, TOPIC_COUNTS, Floats, Ids
from infra.pipeline.steps import Facts, StepContext

HOUR_S, DAY_S = 3600.0, 86_400.0
REGIONS = len(REGION_UTC_OFFSET_H)


def compute_tables(context: StepContext) -> Facts:
    config: FeedConfig = context.config
    world = context.inputs["world"]
    catalogue = Catalogue.read(world)
    log = EventLog.read(world, catalogue)
    times = SnapshotTimes.of(config)
    makers = {
        "user_profile": lambda: user_profile(catalogue, config, times),
        "user_activity": lambda: user_activity(log, catalogue, config, times),
        "post_content": lambda: post_content(catalogue),
        "post_stats": lambda: post_stats(log, catalogue, config, times),
        "creator_stats": lambda: creator_stats(log, catalogue, config, times),
    }
    rows = 0
    for index, (view, make) in enumerate(makers.items()):
        table = make()
        rows += len(table)
        pq.write_table(table, context.out / f"{view}.parquet")
        context.report((index + 1) / len(makers), f"{view}: {len(table):,} rows")
    return {"rows": rows}


@dataclass(frozen=True)
class SnapshotTimes:
    """When features were computed, in seconds since the epoch: users and creators daily, posts every few hours."""

    daily: npt.NDArray[np.float64]
    posts: npt.NDArray[np.float64]

    @classmethod
    def of(cls, config: FeedConfig) -> SnapshotTimes:
        first = pd.Timestamp(config.world.start).timestamp()
        last = first + config.world.days * DAY_S
        step = config.features.post_snapshot_h * HOUR_S
        return cls(np.arange(first, last + 1, DAY_S), np.arange(first, last + 1, step))

    @property
    def last(self) -> float:
        """The world's now."""
        return float(self.daily[-1])


@dataclass(frozen=True)
class Catalogue:
    """What is public of people, creators, posts and follows, as written by the step `world`."""

    people: pd.DataFrame
    creators: pd.DataFrame
    posts: pd.DataFrame
    follows: pd.DataFrame

    @classmethod
    def read(cls, world: Path) -> Catalogue:
        return cls(*(pq.read_table(world / f"{name}.parquet").to_pandas() for name in cls.__annotations__))


@dataclass(frozen=True)
class EventLog:
    """The organic impressions in order of `known_s` float64[n], when their label arrived. All arrays [n]."""

    known_s: npt.NDArray[np.float64]
    user: Ids
    post: Ids
    creator: Ids
    topic: Ids
    region: Ids
    session: Ids
    counts: Floats
    """float32[n, REACTIONS]"""

    @classmethod
    def read(cls, world: Path, catalogue: Catalogue) -> EventLog:
        names = ["label_ts", "user_id", "post_id", "creator_id", "session_id"]
        table = read_log(world, [*names, "clicked", "liked", "commented", "dwell_s"])
        column = {name: table[name].to_numpy() for name in table.column_names}
        post, user = column["post_id"], column["user_id"]
        reactions = [np.ones(len(post)), *(column[name] for name in ("clicked", "liked", "commented", "dwell_s"))]
        return cls(
            known_s=seconds(column["label_ts"]),
            user=user,
            post=post,
            creator=column["creator_id"],
            topic=catalogue.posts["topic"].to_numpy()[post],
            region=catalogue.people["region"].to_numpy()[user],
            session=column["session_id"],
            counts=np.stack(reactions, axis=1).astype(np.float32),
        )

    def before(self, t: float, window_s: float = np.inf) -> slice:
        """The events that were known at `t` and not older than the window."""
        return slice(*(int(np.searchsorted(self.known_s, at)) for at in (t - window_s, t)))


def read_log(world: Path, columns: list[str]) -> pa.Table:
    """The organic impressions of every day, in order of the time when their label arrived."""
    log = ds.dataset(world / "log", partitioning="hive").to_table(columns=columns, filter=pc.field("post_id") >= 0)
    return log.combine_chunks()


def seconds(timestamps: npt.NDArray[np.datetime64]) -> npt.NDArray[np.float64]:
    return timestamps.astype("datetime64[us]").astype(np.int64) / 1e6


def user_profile(catalogue: Catalogue, config: FeedConfig, times: SnapshotTimes) -> pa.Table:
    """Region, declared topics and follows: a row at the begin, one on each day when follows changed, one at the end."""
    follows, creators = catalogue.follows, catalogue.creators
    home = creators["topic"].to_numpy()
    parts = []
    for index, t in enumerate(times.daily):
        known = follows[follows["since_ts"] < t]
        changed = known[known["since_ts"] >= t - DAY_S]["user_id"].unique()
        is_edge = index in (0, len(times.daily) - 1)
        users = catalogue.people["user_id"].to_numpy() if is_edge else np.sort(changed)
        mine = known[known["user_id"].isin(users)]
        parts.append(_profiles(catalogue.people, users, mine, home, config.world.topics, t))
    return pa.concat_tables(parts)


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
            "declared": _lists(declared),
            "follows": _ragged(creator, count),
            "follow_topics": _lists(share.astype(np.float32)),
            "feature_ts": timestamps(np.full(len(users), t)),
        }
    )


def user_activity(log: EventLog, catalogue: Catalogue, config: FeedConfig, times: SnapshotTimes) -> pa.Table:
    """What each user did in the windows before each day; no row for whom nothing is known."""
    parts = [_activity(log, config, t) for t in times.daily]
    return pa.concat_tables([part for part in parts if len(part)] or parts[:1])


def _activity(log: EventLog, config: FeedConfig, t: float) -> pa.Table:
    topics, slots = config.world.topics, config.features.creator_slots
    long = log.before(t, config.features.window_days * DAY_S)
    users, row = np.unique(log.user[long], return_inverse=True)
    counts = _user_counts(log, long, row, len(users))
    recent = log.before(t, config.features.recent_days * DAY_S)
    counts_recent = _user_counts(log, recent, np.searchsorted(users, log.user[recent]), len(users))
    kinds = [REACTIONS.index(name) for name in TOPIC_COUNTS]
    cell = row * topics + log.topic[long]
    per_topic = np.stack(
        [np.bincount(cell, log.counts[long, kind], len(users) * topics).reshape(len(users), topics) for kind in kinds],
        axis=1,
    )
    creators, creator_counts = _acquaintances(log, long, row, len(users), slots)
    return pa.table(
        {
            "user_id": users.astype(np.int64),
            "counts_long": _lists(counts),
            "counts_recent": _lists(counts_recent),
            "topic_counts": _lists(per_topic.reshape(len(users), len(kinds) * topics).astype(np.float32)),
            "creators": _lists(creators),
            "creator_counts": _lists(creator_counts.reshape(len(users), len(CREATOR_COUNTS) * slots)),
            "feature_ts": timestamps(np.full(len(users), t)),
        }
    )


def _user_counts(log: EventLog, window: slice, row: Ids, users: int) -> Floats:
    """float32[users, COUNTS]; `row` int64[events] says whose each event is."""
    sums = [np.bincount(row, log.counts[window, kind], users) for kind in range(len(REACTIONS))]
    first = np.unique(log.session[window], return_index=True)[1]
    sessions = np.bincount(row[first], minlength=users)
    assert len(COUNTS) == len(sums) + 1
    return np.stack([*sums, sessions], axis=1).astype(np.float32)


def _acquaintances(log: EventLog, window: slice, row: Ids, users: int, slots: int) -> tuple[Ids, Floats]:
    """The `slots` creators of each user that were clicked most, then seen most: ids int64[users, slots], -1 where
    there are fewer, and float32[users, CREATOR_COUNTS, slots]."""
    base = int(log.creator.max(initial=0)) + 1
    pair, inverse = np.unique(row * base + log.creator[window], return_inverse=True)
    sums = [
        np.bincount(inverse, log.counts[window, REACTIONS.index(name)], len(pair)).astype(np.float32)
        for name in CREATOR_COUNTS
    ]
    user, creator = pair // base, pair % base
    order = np.lexsort((-sums[0], -sums[1], user))
    start = np.searchsorted(user[order], np.arange(users))
    place = np.arange(len(order)) - start[user[order]]
    kept, place = order[place < slots], place[place < slots]
    ids = np.full((users, slots), -1, np.int64)
    counts = np.zeros((users, len(CREATOR_COUNTS), slots), np.float32)
    ids[user[kept], place] = creator[kept]
    for kind, values in enumerate(sums):
        counts[user[kept], kind, place] = values[kept]
    return ids, counts


def post_content(catalogue: Catalogue) -> pa.Table:
    """What a post is, from its publication on."""
    posts = catalogue.posts
    columns = {name: posts[name].to_numpy() for name in ("post_id", "topic", "media", "published_ts")}
    columns |= {name: posts[name].to_numpy(np.float32) for name in ("quality_signal", "bait_signal")}
    return pa.table({**columns, "feature_ts": timestamps(posts["published_ts"].to_numpy())})


def post_stats(log: EventLog, catalogue: Catalogue, config: FeedConfig, times: SnapshotTimes) -> pa.Table:
    """Reactions to each post so far, in the last hours, and its heat: a row every few hours while it lives."""
    count, life_s = len(catalogue.posts), config.world.post_life_h * HOUR_S
    published = catalogue.posts["published_ts"].to_numpy()
    step_s = config.features.post_snapshot_h * HOUR_S
    total = np.zeros((count, len(REACTIONS)))
    parts = []
    for t in times.posts:
        new = log.before(t, step_s)
        recent = np.stack([np.bincount(log.post[new], log.counts[new, kind], count) for kind in range(len(REACTIONS))])
        total += recent.T
        alive = np.flatnonzero((published < t) & (published >= t - life_s - step_s))
        heat = post_heat(log, t, config.features.heat_half_life_h, count)
        parts.append(
            pa.table(
                {
                    "post_id": alive.astype(np.int64),
                    **{f"post_{name}": total[alive, kind].astype(np.float32) for kind, name in enumerate(REACTIONS)},
                    "post_impressions_recent": recent[0][alive].astype(np.float32),
                    "post_clicks_recent": recent[1][alive].astype(np.float32),
                    **{f"heat_{region}": heat[region, alive].astype(np.float32) for region in range(REGIONS)},
                    "feature_ts": timestamps(np.full(len(alive), t)),
                }
            )
        )
    return pa.concat_tables(parts)


def post_heat(log: EventLog, t: float, half_life_h: float, posts: int) -> npt.NDArray[np.float64]:
    """float64[regions, posts]: clicks known at `t`, by the clicker's region, halved for every half-life since."""
    window = log.before(t, 10 * half_life_h * HOUR_S)
    weight = log.counts[window, 1] * np.exp2(-(t - log.known_s[window]) / HOUR_S / half_life_h)
    cell = log.region[window] * posts + log.post[window]
    return np.asarray(np.bincount(cell, weight, REGIONS * posts).reshape(REGIONS, posts), np.float64)


def creator_stats(log: EventLog, catalogue: Catalogue, config: FeedConfig, times: SnapshotTimes) -> pa.Table:
    """Followers, posts, and reactions in the windows before each day, of every creator who has joined."""
    creators = catalogue.creators
    joined, region = creators["joined_ts"].to_numpy(), creators["region"].to_numpy()
    follows, posts = catalogue.follows, catalogue.posts
    n, parts = len(creators), []
    for t in times.daily:
        there = np.flatnonzero(joined <= t)
        long = log.before(t, config.features.window_days * DAY_S)
        recent = log.before(t, config.features.recent_days * DAY_S)
        sums = [np.bincount(log.creator[long], log.counts[long, kind], n) for kind in range(len(REACTIONS))]
        lately = [np.bincount(log.creator[recent], log.counts[recent, kind], n) for kind in (0, 1)]
        known = follows["creator_id"].to_numpy()[follows["since_ts"].to_numpy() <= t]
        is_out = posts["published_ts"].to_numpy() < t
        author = posts["creator_id"].to_numpy()[is_out]
        count = np.bincount(author, minlength=n)

        columns = {
            "creator_followers": np.bincount(known, minlength=n),
            "creator_posts": count,
            "creator_age_days": np.maximum(t - joined, 0) / DAY_S,
            **{
                f"creator_{signal}": np.bincount(author, posts[signal].to_numpy()[is_out], n) / np.maximum(count, 1)
                for signal in ("quality_signal", "bait_signal")
            },
            **{f"creator_{name}": sums[kind] for kind, name in enumerate(REACTIONS)},
            "creator_impressions_recent": lately[0],
            "creator_clicks_recent": lately[1],
        }
        parts.append(
            pa.table(
                {
                    "creator_id": there.astype(np.int64),
                    "creator_region": region[there],
                    **{name: values[there].astype(np.float32) for name, values in columns.items()},
                    "feature_ts": timestamps(np.full(len(there), t)),
                }
            )
        )
    return pa.concat_tables(parts)


def timestamps(at_s: npt.NDArray[np.float64]) -> pa.Array:
    return pa.array((np.asarray(at_s) * 1e6).astype(np.int64)).cast(pa.timestamp("us", tz="UTC"))


def _lists(matrix: npt.NDArray[np.generic]) -> pa.Array:
    """[n, m] as a column of n lists."""
    return _ragged(matrix.ravel(), np.full(len(matrix), matrix.shape[1]))


def _ragged(values: npt.NDArray[np.generic], lengths: Ids) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(values))
