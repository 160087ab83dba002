"""The feed's features: what Feast stores, and the transforms that training and serving share.

Skew between training and serving has one usual cause: the same feature computed twice. Here each transform
exists once, on arrays; training passes many users, serving passes one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from feed_ranking.domain import Floats, Ids, PostFeatures, UserFeatures
from infra.feature_store.feast_import import (
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    ValueType,
    types,
)
from infra.feature_store.feast_store import FeastStore
from infra.feature_store.port import FeatureRow

PROJECT = "feed_ranking"
USER_SERVICE = "feed_user"
MAX_FOLLOWS = 64

VIEWS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "user_activity": (
        "user_id",
        {"impressions_7d": types.Float32, "ctr_7d": types.Float32, "topic_affinity": types.Array(types.Float32)},
    ),
    "user_follows": ("user_id", {"follows": types.Array(types.Int64), "follow_topics": types.Array(types.Float32)}),
    "post_stats": (
        "post_id",
        {"topic": types.Int64, "published_ts": types.Float64, "impressions": types.Float32, "ctr": types.Float32},
    ),
    "creator_stats": ("creator_id", {"creator_followers": types.Float32, "creator_ctr_7d": types.Float32}),
}
"""Feature view -> (entity, feature -> type)."""

ONLINE_VIEWS = ("user_activity", "user_follows")
"""Only what one request reads. Post and creator columns are served from the snapshot."""

USER_FEATURES = [f"{view}:{name}" for view in ONLINE_VIEWS for name in VIEWS[view][1]]
POST_FEATURES = [f"{view}:{name}" for view in ("post_stats", "creator_stats") for name in VIEWS[view][1]]

RANKER_INPUTS = (
    "user_impressions_7d_log",
    "user_ctr_7d",
    "user_topic_affinity",
    "user_topic_followed",
    "user_follows_creator",
    "user_follow_count_log",
    "post_impressions_log",
    "post_ctr",
    "post_age_h_log",
    "creator_followers_log",
    "creator_ctr_7d",
    "tower_score",
)


def feast_definitions(tables: Path) -> list[Any]:
    """Entities, views and the feature service; `tables` holds one Parquet file per view."""
    entities = {name: Entity(name=name, join_keys=[name], value_type=ValueType.INT64) for name, _ in VIEWS.values()}
    views = {
        view: FeatureView(
            name=view,
            entities=[entities[entity]],
            schema=[Field(name=entity, dtype=types.Int64)]
            + [Field(name=name, dtype=kind) for name, kind in features.items()],
            source=FileSource(path=str(tables / f"{view}.parquet"), timestamp_field="feature_ts"),
            ttl=timedelta(days=365),  # age is checked where a row is served
        )
        for view, (entity, features) in VIEWS.items()
    }
    service = FeatureService(name=USER_SERVICE, features=[views[name] for name in ONLINE_VIEWS])
    return [*entities.values(), *views.values(), service]


def open_store(repository: Path, *, online_only: bool = False) -> FeastStore:
    return FeastStore(repository, PROJECT, service=USER_SERVICE, entity="user_id", online_only=online_only)


def default_user(meta: Mapping[str, Any]) -> UserFeatures:
    """The declared defaults: an average user who follows nobody. `meta` comes with the model it was trained for."""
    topics = int(meta["topics"])
    return UserFeatures(
        impressions_7d=np.zeros(1, np.float32),
        ctr_7d=np.full(1, meta["mean_ctr"], np.float32),
        topic_affinity=np.ones((1, topics), np.float32),
        follow_topics=np.zeros((1, topics), np.float32),
        follows=np.full((1, 1), -1, np.int64),
    )


def user_from_row(row: FeatureRow, default: UserFeatures) -> UserFeatures:
    """One row of the store as user features; what the row lacks is taken from `default`."""
    values = {name: np.atleast_1d(value) for name, value in row.values.items() if value is not None}
    arrays = {
        name: values[name].astype(fallback.dtype).reshape((1, -1) if fallback.ndim == 2 else (1,))
        if name in values
        else fallback
        for name, fallback in vars(default).items()
    }
    return UserFeatures(**arrays)


def users_from_frame(frame: pd.DataFrame, default: UserFeatures) -> UserFeatures:
    """The rows of an offline join as user features, with `default` where the join found nothing."""

    def matrix(name: str, fallback: Floats) -> Floats:
        rows = [fallback[0] if value is None or np.ndim(value) == 0 else value for value in frame[name]]
        return np.asarray(np.stack(rows), np.float32) if rows else np.empty((0, fallback.shape[1]), np.float32)

    follows = np.full((len(frame), MAX_FOLLOWS), -1, np.int64)
    for row, ids in enumerate(frame["follows"]):
        if np.ndim(ids):
            follows[row, : len(ids)] = ids
    return UserFeatures(
        impressions_7d=frame["impressions_7d"].fillna(default.impressions_7d[0]).to_numpy(np.float32),
        ctr_7d=frame["ctr_7d"].fillna(default.ctr_7d[0]).to_numpy(np.float32),
        topic_affinity=matrix("topic_affinity", default.topic_affinity),
        follow_topics=matrix("follow_topics", default.follow_topics),
        follows=follows,
    )


def posts_from_frame(frame: pd.DataFrame) -> PostFeatures:
    """The rows of an offline join as post features. Every post has a row from its publication on."""
    return PostFeatures(
        creator_id=frame["creator_id"].to_numpy(np.int64),
        topic=frame["topic"].to_numpy(np.int64),
        published_ts=frame["published_ts"].to_numpy(np.float64),
        impressions=frame["impressions"].to_numpy(np.float32),
        ctr=frame["ctr"].to_numpy(np.float32),
        creator_followers=frame["creator_followers"].to_numpy(np.float32),
        creator_ctr_7d=frame["creator_ctr_7d"].to_numpy(np.float32),
    )


def user_tower_inputs(users: UserFeatures) -> Floats:
    """float32[m, 2 + 2·topics]."""
    scalars = np.stack([np.log1p(users.impressions_7d), users.ctr_7d * 10], axis=1)
    return np.concatenate([scalars, users.topic_affinity, users.follow_topics * 4], axis=1).astype(np.float32)


def post_tower_inputs(posts: PostFeatures, topics: int) -> Floats:
    """float32[n, 4 + topics]. No age: an embedding must not change while a post waits in the index."""
    scalars = np.stack(
        [np.log1p(posts.impressions), posts.ctr * 10, np.log1p(posts.creator_followers), posts.creator_ctr_7d * 10],
        axis=1,
    )
    return np.concatenate([scalars, np.eye(topics, dtype=np.float32)[posts.topic]], axis=1).astype(np.float32)


def ranker_inputs(
    users: UserFeatures, posts: PostFeatures, tower_score: Floats, now_ts: float | npt.NDArray[np.float64]
) -> Floats:
    """float32[n, len(RANKER_INPUTS)] for n posts and either n users or one.

    `tower_score` float32[n]: dot product of the two towers' outputs; `now_ts`: time of the request, seconds.
    """
    n = len(posts)
    topic = posts.topic
    columns = (
        np.log1p(users.impressions_7d),
        users.ctr_7d,
        _pick(users.topic_affinity, topic),
        _pick(users.follow_topics, topic),
        (users.follows == posts.creator_id[:, None]).any(axis=1),
        np.log1p((users.follows >= 0).sum(axis=1)),
        np.log1p(posts.impressions),
        posts.ctr,
        np.log1p(np.maximum(now_ts - posts.published_ts, 0.0) / 3600),
        np.log1p(posts.creator_followers),
        posts.creator_ctr_7d,
        tower_score,
    )
    out = np.empty((n, len(columns)), np.float32)
    for index, column in enumerate(columns):
        out[:, index] = column
    return out


def _pick(per_topic: Floats, topic: Ids) -> Floats:
    """`per_topic` float32[n or 1, topics] at the topic of each of n posts."""
    rows = np.arange(len(topic)) if len(per_topic) > 1 else 0
    picked: Floats = per_topic[rows, topic]
    return picked
