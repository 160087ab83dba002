"""Steps `features` and `materialize`, and the point-in-time join that training and evaluation read.

A feature row says what was known just before its time: a window [t - 7 d, t) is stamped t. Feast joins
inclusively (feature time <= event time), so an event at exactly t must not be inside the window of t.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from feed_ranking.config import FeedConfig
from feed_ranking.domain import Floats, PostFeatures, UserFeatures
from feed_ranking.features import (
    ONLINE_VIEWS,
    POST_FEATURES,
    USER_FEATURES,
    feast_definitions,
    open_store,
    posts_from_frame,
    users_from_frame,
)
from infra.feature_store.port import OfflineFeatures
from infra.pipeline.steps import Facts, StepContext

HOUR_S, DAY_S = 3600.0, 86_400.0
MAX_AFFINITY = 10.0


def compute_tables(context: StepContext) -> Facts:
    """Step `features`: one Parquet file per feature view, a row per entity and snapshot time."""
    config: FeedConfig = context.config
    world = context.inputs["world"]
    log = read_log(world)
    times = SnapshotTimes.of(config)
    prior = float(log["clicked"].mean())
    posts = pq.read_table(world / "posts.parquet").to_pandas()
    tables = {
        "user_activity": user_activity(log, posts, times, config, prior),
        "user_follows": user_follows(world, config, times),
        "post_stats": post_stats(log, posts, times, config, prior),
        "creator_stats": creator_stats(log, world, times, config, prior),
    }
    for index, (view, table) in enumerate(tables.items()):
        pq.write_table(table, context.out / f"{view}.parquet")
        context.report((index + 1) / len(tables), f"{view}: {len(table):,} rows")
    return {"rows": sum(len(table) for table in tables.values()), "mean_ctr": round(prior, 6)}


def materialize(context: StepContext) -> Facts:
    """Step `materialize`: declare the views to Feast and write the newest user rows to the online store."""
    config: FeedConfig = context.config
    store = open_store(context.out)
    store.apply(feast_definitions(context.inputs["features"]))
    now = datetime.fromtimestamp(SnapshotTimes.of(config).last, UTC)
    rows = 0
    for index, view in enumerate(ONLINE_VIEWS):
        rows = store.materialize(view, now)
        context.report((index + 1) / len(ONLINE_VIEWS), f"{view}: {rows:,} users")
    store.close()
    return {"online_users": rows}


def read_log(world: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """The impressions of every day, in order of time."""
    table = ds.dataset(world / "log", partitioning="hive").to_table(columns=columns)
    log: pd.DataFrame = table.to_pandas(self_destruct=True)
    return log


def live_posts(world: Path, now_ts: float, life_h: float) -> pd.DataFrame:
    """The posts that may be shown at `now_ts`, by ascending id."""
    posts: pd.DataFrame = pq.read_table(world / "posts.parquet").to_pandas()
    published = posts["published_ts"]
    return posts[(published < now_ts) & (published >= now_ts - life_h * HOUR_S)].reset_index(drop=True)


class SnapshotTimes:
    """When features were computed: users and creators daily, posts every few hours. Seconds since the epoch."""

    def __init__(self, first: float, last: float, post_step_h: int) -> None:
        self.first, self.last = first, last
        self.daily = np.arange(first, last + 1, DAY_S)
        self.posts = np.arange(first, last + 1, post_step_h * HOUR_S)
        self.post_step_s = post_step_h * HOUR_S

    @classmethod
    def of(cls, config: FeedConfig) -> SnapshotTimes:
        first = datetime.fromisoformat(config.world.start).timestamp()
        return cls(first, first + config.world.days * DAY_S, config.features.post_snapshot_h)


def user_activity(
    log: pd.DataFrame, posts: pd.DataFrame, times: SnapshotTimes, config: FeedConfig, prior: float
) -> pa.Table:
    """Impressions, smoothed click rate and topic affinity of each user over the window before each day."""
    users, topics = config.world.users, config.world.topics
    strength, per_topic = config.features.prior_strength, config.features.affinity_strength
    user, seconds = log["user_id"].to_numpy(), _seconds(log["event_ts"])
    cell = user * topics + posts["topic"].to_numpy()[log["post_id"].to_numpy()]
    clicked = log["clicked"].to_numpy(np.float64)
    columns: dict[str, list[Floats]] = {"impressions_7d": [], "ctr_7d": [], "topic_affinity": []}
    for t in times.daily:
        inside = (seconds >= t - config.features.user_window_days * DAY_S) & (seconds < t)
        shown = np.bincount(cell[inside], minlength=users * topics).reshape(users, topics)
        clicks = np.bincount(cell[inside], clicked[inside], minlength=users * topics).reshape(users, topics)
        rate = (clicks.sum(1) + strength * prior) / (shown.sum(1) + strength)
        affinity = (clicks + per_topic * rate[:, None]) / (shown + per_topic) / rate[:, None]
        columns["impressions_7d"].append(shown.sum(1))
        columns["ctr_7d"].append(rate)
        columns["topic_affinity"].append(np.minimum(affinity, MAX_AFFINITY))
    return pa.table(
        {
            "user_id": np.tile(np.arange(users, dtype=np.int64), len(times.daily)),
            "impressions_7d": np.concatenate(columns["impressions_7d"]).astype(np.float32),
            "ctr_7d": np.concatenate(columns["ctr_7d"]).astype(np.float32),
            "topic_affinity": _lists(np.concatenate(columns["topic_affinity"]).astype(np.float32)),
            "feature_ts": _timestamps(np.repeat(times.daily, users)),
        }
    )


def user_follows(world: Path, config: FeedConfig, times: SnapshotTimes) -> pa.Table:
    """Whom each user follows, and how those creators' home topics are spread; confirmed once a day."""
    follows = pq.read_table(world / "follows.parquet").to_pandas()
    home = pq.read_table(world / "creators.parquet")["topic"].to_numpy()
    users, topics = config.world.users, config.world.topics
    counts = np.bincount(follows["user_id"], minlength=users)
    cell = follows["user_id"].to_numpy() * topics + home[follows["creator_id"].to_numpy()]
    share = np.bincount(cell, minlength=users * topics).reshape(users, topics) / np.maximum(counts, 1)[:, None]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    today = pa.table(
        {
            "user_id": np.arange(users, dtype=np.int64),
            "follows": pa.ListArray.from_arrays(offsets, pa.array(follows["creator_id"].to_numpy())),
            "follow_topics": _lists(share.astype(np.float32)),
        }
    )
    days = [today.append_column("feature_ts", _timestamps(np.full(users, t))) for t in times.daily]
    return pa.concat_tables(days)


def post_stats(
    log: pd.DataFrame, posts: pd.DataFrame, times: SnapshotTimes, config: FeedConfig, prior: float
) -> pa.Table:
    """Impressions and smoothed click rate of each post so far: a first row at publication, then while it lives."""
    strength, life_s = config.features.prior_strength, config.world.post_life_h * HOUR_S
    post, seconds = log["post_id"].to_numpy(), _seconds(log["event_ts"])
    clicked = log["clicked"].to_numpy(np.float64)
    published = posts["published_ts"].to_numpy()
    count = len(posts)
    shown, clicks = np.zeros(count), np.zeros(count)
    ids, ts, impressions, ctr = [np.arange(count)], [published], [np.zeros(count)], [np.full(count, prior)]
    before = 0
    for t in times.posts:
        upto = int(np.searchsorted(seconds, t))  # the log is in order of time
        shown += np.bincount(post[before:upto], minlength=count)
        clicks += np.bincount(post[before:upto], clicked[before:upto], minlength=count)
        before = upto
        alive = np.flatnonzero((published < t) & (published >= t - life_s - times.post_step_s))
        ids.append(alive)
        ts.append(np.full(len(alive), t))
        impressions.append(shown[alive].copy())
        ctr.append((clicks[alive] + strength * prior) / (shown[alive] + strength))
    post_id = np.concatenate(ids).astype(np.int64)
    return pa.table(
        {
            "post_id": post_id,
            "topic": posts["topic"].to_numpy()[post_id],
            "published_ts": published[post_id],
            "impressions": np.concatenate(impressions).astype(np.float32),
            "ctr": np.concatenate(ctr).astype(np.float32),
            "feature_ts": _timestamps(np.concatenate(ts)),
        }
    )


def creator_stats(log: pd.DataFrame, world: Path, times: SnapshotTimes, config: FeedConfig, prior: float) -> pa.Table:
    """Followers and smoothed click rate of each creator over the window before each day."""
    creators, strength = config.world.creators, config.features.prior_strength * 5
    followers = np.bincount(pq.read_table(world / "follows.parquet")["creator_id"].to_numpy(), minlength=creators)
    creator, seconds = log["creator_id"].to_numpy(), _seconds(log["event_ts"])
    clicked = log["clicked"].to_numpy(np.float64)
    rates = []
    for t in times.daily:
        inside = (seconds >= t - config.features.user_window_days * DAY_S) & (seconds < t)
        shown = np.bincount(creator[inside], minlength=creators)
        clicks = np.bincount(creator[inside], clicked[inside], minlength=creators)
        rates.append((clicks + strength * prior) / (shown + strength))
    return pa.table(
        {
            "creator_id": np.tile(np.arange(creators, dtype=np.int64), len(times.daily)),
            "creator_followers": np.tile(followers.astype(np.float32), len(times.daily)),
            "creator_ctr_7d": np.concatenate(rates).astype(np.float32),
            "feature_ts": _timestamps(np.repeat(times.daily, creators)),
        }
    )


def join_users(store: OfflineFeatures, user_id: npt.ArrayLike, at: pd.Series, default: UserFeatures) -> UserFeatures:
    """User features as they were known at `at` (UTC timestamps), one row for each."""
    rows = pd.DataFrame({"user_id": np.asarray(user_id, np.int64), "event_ts": np.asarray(at)})
    rows["event_ts"] = pd.to_datetime(rows["event_ts"], utc=True)
    return users_from_frame(store.join(rows, USER_FEATURES), default)


def join_posts(
    store: OfflineFeatures, post_id: npt.ArrayLike, creator_id: npt.ArrayLike, at: pd.Series
) -> PostFeatures:
    """Post and creator features as they were known at `at`, one row for each."""
    rows = pd.DataFrame({"post_id": np.asarray(post_id, np.int64), "creator_id": np.asarray(creator_id, np.int64)})
    rows["event_ts"] = pd.to_datetime(np.asarray(at), utc=True)
    return posts_from_frame(store.join(rows, POST_FEATURES))


def _seconds(timestamps: pd.Series) -> npt.NDArray[np.float64]:
    return timestamps.to_numpy("datetime64[us]").astype(np.int64) / 1e6


def _timestamps(seconds: npt.NDArray[np.float64]) -> pa.Array:
    return pa.array((np.asarray(seconds) * 1e6).astype(np.int64)).cast(pa.timestamp("us", tz="UTC"))


def _lists(matrix: Floats) -> pa.Array:
    """float32[n, m] as a column of n lists."""
    offsets = np.arange(0, matrix.size + 1, matrix.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(matrix.ravel()))
