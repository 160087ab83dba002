"""Steps `materialize` and `sample`: fill the online store, and join the impressions for training and evaluation.

The join runs day by day, so one day's rows and features fit into memory for a history of any length.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from feed_ranking.config import FeedConfig
from feed_ranking.domain import RANDOM_POLICY, Floats, Ids, PostFeatures, Times, UserFeatures
from feed_ranking.events.history import LABELS, read_log
from feed_ranking.features.views import (
    ITEM_VIEWS,
    ONLINE_VIEWS,
    POST_FEATURES,
    STORED,
    USER_FEATURES,
    default_user,
    open_store,
    posts_from_frame,
    users_from_frame,
)
from feed_ranking.offline.live_rows import JOINED, LiveRows
from feed_ranking.offline.planted_joins import LEAK_COLUMNS, planted_change, time_left
from infra.build.runner import Facts, StepContext
from infra.columns import DAY_S, seconds
from infra.feature_store.changed_join import ChangedJoin
from infra.feature_store.port import Joins
from infra.feature_store.repository import materialize_views
from infra.live.kept_log import read_until
from infra.training.row_mix import first_day_of, oldest_ts

LOG_COLUMNS = ("slate_id", "user_id", "post_id", "creator_id", "position", "depth", "creator_before", "request_ts")
FRESH, FRESH_ROWS = "fresh.npz", 20_000
COLUMNS = (*LOG_COLUMNS, *LABELS, "policy")


@dataclass(frozen=True)
class Sample:
    """n organic impressions with the features as of the request for their slate.

    `users` holds the users of the m slates; `slate_of` int64[n] is the slate of each row. All other arrays are [n]:
    ids int64; `position` (from 0), `depth` (earlier items in the session before this slate) and `creator_before`
    int64; `clicked`, `liked`, `commented` float32 in {0, 1}; `dwell_s` float32; `request_ts` float64; `weight`
    float32: the number of logged impressions that the row represents.
    """

    users: UserFeatures
    posts: PostFeatures
    slate_of: Ids
    slate_id: Ids
    user_id: Ids
    post_id: Ids
    position: Ids
    depth: Ids
    creator_before: Ids
    request_ts: Times
    clicked: Floats
    liked: Floats
    commented: Floats
    dwell_s: Floats
    weight: Floats

    def __len__(self) -> int:
        return len(self.slate_id)

    def take(self, rows: Ids) -> Sample:
        """The impressions `rows`, and the users of their slates by ascending slate. All rows of a slate are of one
        request. Lists of follows are as short as possible."""
        _, first, slate_of = np.unique(self.slate_id[rows], return_index=True, return_inverse=True)
        users = self.users.take(self.slate_of[rows[first]])
        width = max(int((users.follows >= 0).sum(axis=1).max(initial=1)), 1)
        users = replace(users, follows=users.follows[:, :width])
        own = {item.name: getattr(self, item.name)[rows] for item in fields(self)[3:]}
        return Sample(users, self.posts.take(rows), slate_of.astype(np.int64), **own)

    def write(self, path: Path) -> None:
        arrays: dict[str, Any] = dict(_flat(self))
        np.savez(path, **arrays)

    @classmethod
    def read(cls, path: Path) -> Sample:
        with np.load(path, allow_pickle=False) as stored:
            users = UserFeatures(*(stored[f"users.{item.name}"] for item in fields(UserFeatures)))
            posts = PostFeatures(*(stored[f"posts.{item.name}"] for item in fields(PostFeatures)))
            return cls(users, posts, *(stored[item.name] for item in fields(cls)[2:]))


def _flat(value: object, prefix: str = "") -> list[tuple[str, npt.NDArray[Any]]]:
    found: list[tuple[str, npt.NDArray[Any]]] = []
    for item in fields(value):  # type: ignore[arg-type]
        inner = getattr(value, item.name)
        found += _flat(inner, f"{item.name}.") if is_dataclass(inner) else [(prefix + item.name, inner)]
    return found


def materialize(context: StepContext) -> Facts:
    """Step `materialize`: declare the views to Feast and write the newest user rows to the online store."""
    until_ts = read_until(context.inputs["live"])
    return {"online_users": materialize_views(STORED, ONLINE_VIEWS, context, until_ts)}


def materialize_items(context: StepContext) -> Facts:
    """Step `naive`: the same for posts and creators, in a repository of its own. Serving does not need it."""
    until_ts = read_until(context.inputs["live"])
    return {"online_items": materialize_views(STORED, ITEM_VIEWS, context, until_ts)}


def write_samples(context: StepContext) -> Facts:
    """Step `sample`: write `train.npz` and `holdout.npz`, and `fresh.npz` if the live log has a randomised bucket.

    Training uses all clicks and a weighted share of the other impressions, under any policy. The holdout is the
    randomised bucket of the last days of the history: its slates are random, so its clicks measure the posts and not
    the logging policy. Training also uses the live log, except its randomised bucket, whose newest `FRESH_ROWS` rows
    are in `fresh.npz`, for the gate. Rows before the window (`train_days`) are left out.
    """
    config: FeedConfig = context.config
    store: Joins = open_store(context.inputs["materialize"], context.settings)
    world, live_log = context.inputs["world"], context.inputs["live"]
    if change := planted_change(context.planted, lambda: read_log(world, live_log, LEAK_COLUMNS)):
        store = ChangedJoin(store, "post_id", change)
    start = pd.Timestamp(config.world.start).timestamp()
    until = config.world.days - config.sample.holdout_days
    until_ts, window = read_until(context.inputs["live"]), config.sample.train_days
    train_days = range(first_day_of(config.world, until_ts, window, config.sample.first_day, until), until)
    shown, clicked = count_rows(context.inputs["world"], start, train_days)
    default = default_user(config.world.topics, config.features.creator_slots)
    live = LiveRows.read(context, COLUMNS)
    is_random, is_click = live.log["policy"] == RANDOM_POLICY, live.log["clicked"].to_numpy(np.bool_)
    taught = np.flatnonzero(~is_random & (live.request_ts >= oldest_ts(until_ts, window)))
    shown, clicked = shown + len(taught), clicked + int(is_click[taught].sum())
    share = float(np.clip((config.sample.rows - clicked) / max(shown - clicked, 1), 0.01, 1.0))
    taught = taught[is_click[taught] | (live.drawn[taught] < share)]
    fresh = newest(live.request_ts, np.flatnonzero(is_random))
    of_live = {
        "train": join_live(store, live, taught, np.where(is_click[taught], 1.0, 1.0 / share), default),
        "fresh": join_live(store, live, fresh, np.ones(len(fresh)), default),
    }
    rng = np.random.default_rng(config.world.seed)
    facts: dict[str, int] = {"live_rows": len(taught), "fresh_rows": len(fresh), **live.facts()}

    def drawn(log: pd.DataFrame) -> pd.DataFrame:
        if context.planted == "feedback":
            log = log[log["policy"] != RANDOM_POLICY]
        log = log.assign(weight=np.where(log["clicked"], 1.0, 1.0 / share))
        return log[log["clicked"] | (rng.random(len(log)) < share)]

    for name, days in (("train", train_days), ("holdout", range(until, config.world.days))):
        parts = []
        for day in days:
            log = read_day(context.inputs["world"], start, day)
            chosen = log[log["policy"] == RANDOM_POLICY].assign(weight=1.0) if name == "holdout" else drawn(log)
            parts.append(join(store, chosen, default))
            context.report((day - train_days[0] + 1) / (config.world.days - train_days[0]), f"{name}: day {day + 1}")
        sample = concatenate(parts + (of_live["train"] if name == "train" else []))
        if name == "train" and context.planted == "labels":
            order = rng.permutation(len(sample))
            sample = replace(sample, **{label: getattr(sample, label)[order] for label in LABELS})
        if name == "train" and context.planted == "dwell":
            sample = replace(sample, dwell_s=time_left(sample.dwell_s))
        sample.write(context.out / f"{name}.npz")
        facts |= {f"{name}_rows": len(sample), f"{name}_clicks": int(sample.clicked.sum())}
    if len(fresh):
        concatenate(of_live["fresh"]).write(context.out / FRESH)
    if len(live):
        folder, joined = live.keep(context, np.concatenate([taught, fresh])), [*of_live["train"], *of_live["fresh"]]
        concatenate(joined or [join(store, live.log.iloc[:0].assign(weight=1.0), default)]).write(folder / JOINED)
    return facts


def newest(request_ts: Times, rows: Ids) -> Ids:
    """The newest `FRESH_ROWS` of `rows`, in their order."""
    return np.sort(rows[np.argsort(request_ts[rows], kind="stable")[-FRESH_ROWS:]])


def join_live(
    store: Joins, live: LiveRows, rows: Ids, weight: npt.NDArray[np.float64], default: UserFeatures
) -> list[Sample]:
    """These live impressions with their features, one part per day. Those that the earlier output has are not joined
    again; the result is the same."""
    place, parts = live.earlier(rows), []
    before = Sample.read(live.files.earlier / JOINED) if live.files.earlier and (place >= 0).any() else None
    for at in live.days(rows):
        is_new = place[at] < 0
        found = [join(store, live.log.iloc[rows[at[is_new]]].assign(weight=1.0), default)] if is_new.any() else []
        if before is not None and not is_new.all():
            found.append(before.take(place[at[~is_new]]))
        order = np.argsort(np.r_[np.flatnonzero(is_new), np.flatnonzero(~is_new)])
        part = concatenate(found).take(order)
        parts.append(replace(part, weight=weight[at].astype(np.float32)))
    return parts


def count_rows(world: Path, start: float, days: range) -> tuple[int, int]:
    """(organic impressions, clicks) of `days`."""
    dates = [_date(start, day) for day in days]
    log = ds.dataset(world / "log", partitioning="hive")
    shown = pc.field("date").isin(dates) & (pc.field("post_id") >= 0)
    return int(log.count_rows(filter=shown)), int(log.count_rows(filter=shown & pc.field("clicked")))


def read_day(world: Path, start: float, day: int) -> pd.DataFrame:
    """The organic impressions of one day, ordered by slate."""
    log = ds.dataset(world / "log" / f"date={_date(start, day)}")
    return _by_slate(log.to_table(columns=list(COLUMNS), filter=pc.field("post_id") >= 0))


def _by_slate(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    frame["request_ts"] = frame["request_ts"].dt.tz_localize(None)  # UTC; numpy has no time zones
    return frame.sort_values(["slate_id", "position"], kind="stable", ignore_index=True)


def join(store: Joins, log: pd.DataFrame, default: UserFeatures) -> Sample:
    """The impressions of `log`, ordered by `slate_id`, with the features as of their `request_ts`."""
    slates = log.drop_duplicates("slate_id")
    posts = log[["post_id", "creator_id"]]
    column = {name: log[name].to_numpy() for name in log.columns if name != "policy"}
    return Sample(
        users=join_users(store, slates["user_id"], slates["request_ts"], default),
        posts=join_posts(store, posts["post_id"], posts["creator_id"], log["request_ts"]),
        slate_of=np.searchsorted(slates["slate_id"].to_numpy(), column["slate_id"]).astype(np.int64),
        slate_id=column["slate_id"],
        user_id=column["user_id"],
        post_id=column["post_id"],
        position=column["position"],
        depth=column["depth"] - column["position"],
        creator_before=column["creator_before"],
        request_ts=seconds(column["request_ts"]),
        clicked=column["clicked"].astype(np.float32),
        liked=column["liked"].astype(np.float32),
        commented=column["commented"].astype(np.float32),
        dwell_s=column["dwell_s"],
        weight=column["weight"].astype(np.float32),
    )


def join_users(store: Joins, user_id: npt.ArrayLike, at: pd.Series, default: UserFeatures) -> UserFeatures:
    """User features as of `at` (UTC timestamps), one row per user id."""
    rows = pd.DataFrame({"user_id": np.asarray(user_id, np.int64), "event_ts": np.asarray(at)})
    rows["event_ts"] = pd.to_datetime(rows["event_ts"], utc=True)
    return users_from_frame(store.join(rows, USER_FEATURES), default)


def join_posts(store: Joins, post_id: npt.ArrayLike, creator_id: npt.ArrayLike, at: pd.Series) -> PostFeatures:
    """Post and creator features as of `at` (UTC timestamps), one row per post id."""
    rows = pd.DataFrame({"post_id": np.asarray(post_id, np.int64), "creator_id": np.asarray(creator_id, np.int64)})
    rows["event_ts"] = pd.to_datetime(np.asarray(at), utc=True)
    return posts_from_frame(store.join(rows, POST_FEATURES))


def concatenate(parts: list[Sample]) -> Sample:
    """Concatenate the samples of several days."""
    before = np.cumsum([0] + [len(part.users) for part in parts[:-1]])
    columns = {item.name: np.concatenate([getattr(part, item.name) for part in parts]) for item in fields(Sample)[3:]}
    slate_of = np.concatenate([part.slate_of + first for part, first in zip(parts, before, strict=True)])
    users = UserFeatures(*(_stack([getattr(part.users, item.name) for part in parts]) for item in fields(UserFeatures)))
    posts = PostFeatures(*(_stack([getattr(part.posts, item.name) for part in parts]) for item in fields(PostFeatures)))
    return Sample(users, posts, slate_of, **columns)


def _stack(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Concatenate. Rows of ids may differ in length and are padded with -1."""
    if arrays[0].ndim == 1 or len({array.shape[1] for array in arrays}) == 1:
        return np.concatenate(arrays)
    width = max(array.shape[1] for array in arrays)
    return np.concatenate([np.pad(a, ((0, 0), (0, width - a.shape[1])), constant_values=-1) for a in arrays])


def _date(start: float, day: int) -> str:
    return str(datetime.fromtimestamp(start + day * DAY_S, UTC).date())
