"""Feast definitions of the feed (entities, views, feature service), and conversion of Feast rows to domain types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from feed_ranking.domain import (
    COUNTS,
    CREATOR_COLUMNS,
    CREATOR_COUNTS,
    POST_COLUMNS,
    STATS,
    TOPIC_COUNTS,
    Floats,
    Ids,
    PostFeatures,
    UserFeatures,
)
from infra.feature_store.feast_import import types
from infra.feature_store.feast_store import FeastStore
from infra.feature_store.port import FeatureRow
from infra.feature_store.repository import StoredFeatures, open_repository
from infra.settings import Settings

CONTENT = ("quality_signal", "bait_signal")
FLOATS, INTS = types.Array(types.Float32), types.Array(types.Int64)

VIEWS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "user_profile": (
        "user_id",
        {"region": types.Int64, "declared": INTS, "follows": INTS, "follow_topics": FLOATS},
    ),
    "user_activity": (
        "user_id",
        {
            "counts_long": FLOATS,
            "counts_recent": FLOATS,
            "topic_counts": FLOATS,
            "creators": INTS,
            "creator_counts": FLOATS,
        },
    ),
    "post_content": (
        "post_id",
        {
            "topic": types.Int64,
            "media": types.Int64,
            "published_ts": types.Float64,
            **dict.fromkeys(CONTENT, types.Float32),
        },
    ),
    "post_stats": ("post_id", {name: types.Float32 for name in POST_COLUMNS if name not in CONTENT}),
    "creator_stats": (
        "creator_id",
        {"creator_region": types.Int64, **dict.fromkeys(CREATOR_COLUMNS, types.Float32)},
    ),
}
"""Feature view -> (entity, feature -> type). Pair features (user × creator, user × topic) are arrays in the user's
row."""

ONLINE_VIEWS = ("user_profile", "user_activity")
"""The views that a request reads. Post and creator columns are served from the snapshot."""
ITEM_VIEWS = ("post_content", "post_stats", "creator_stats")

STORED = StoredFeatures("feed_ranking", "feed_user", "user_id", VIEWS, ONLINE_VIEWS)

USER_FEATURES = [f"{view}:{name}" for view in ONLINE_VIEWS for name in VIEWS[view][1]]
POST_FEATURES = [f"{view}:{name}" for view in ITEM_VIEWS for name in VIEWS[view][1]]


def open_store(repository: Path, settings: Settings, *, online_only: bool = False) -> FeastStore:
    """The store of one build (`infra.feature_store.repository`)."""
    return open_repository(STORED, repository, settings, online_only=online_only)


def default_user(topics: int, slots: int = 1) -> UserFeatures:
    """The declared defaults: a user in the largest region without any history."""
    return UserFeatures(
        counts_long=np.zeros((1, len(COUNTS)), np.float32),
        counts_recent=np.zeros((1, len(COUNTS)), np.float32),
        topic_counts=np.zeros((1, len(TOPIC_COUNTS) * topics), np.float32),
        creators=np.full((1, slots), -1, np.int64),
        creator_counts=np.zeros((1, len(CREATOR_COUNTS) * slots), np.float32),
        follows=np.full((1, 1), -1, np.int64),
        follow_topics=np.zeros((1, topics), np.float32),
        declared=np.full((1, 3), -1, np.int64),
        region=np.zeros(1, np.int64),
    )


def user_from_row(row: FeatureRow, default: UserFeatures) -> UserFeatures:
    """One row of the store as user features. Missing values come from `default`."""
    values = {name: np.atleast_1d(value) for name, value in row.values.items() if value is not None}
    arrays = {
        name: values[name].astype(fallback.dtype).reshape((1, -1) if fallback.ndim == 2 else (1,))
        if name in values and values[name].size
        else fallback
        for name, fallback in vars(default).items()
    }
    return UserFeatures(**arrays)


def users_from_frame(frame: pd.DataFrame, default: UserFeatures) -> UserFeatures:
    """The rows of an offline join as user features, with `default` for missing values.

    Lists of ids vary in length and are padded with -1.
    """

    def column(name: str, fallback: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        if fallback.ndim == 1:
            return frame[name].fillna(fallback[0]).to_numpy(fallback.dtype)
        rows = [fallback[0] if np.ndim(value) == 0 else value for value in frame[name]]
        out = np.full((len(rows), max([len(row) for row in rows], default=1)), -1, fallback.dtype)
        for index, row in enumerate(rows):
            out[index, : len(row)] = row
        return out

    return UserFeatures(**{name: column(name, fallback) for name, fallback in vars(default).items()})  # type: ignore[arg-type]


def posts_from_frame(frame: pd.DataFrame) -> PostFeatures:
    """The rows of an offline join as post features. Posts and creators without events get zero counts."""
    stats = np.empty((len(frame), len(STATS)), np.float32)
    for column, name in enumerate(STATS):
        stats[:, column] = frame[name].fillna(0.0).to_numpy(np.float32)
    return PostFeatures(
        creator_id=frame["creator_id"].to_numpy(np.int64),
        topic=frame["topic"].to_numpy(np.int64),
        media=frame["media"].to_numpy(np.int64),
        creator_region=frame["creator_region"].fillna(0).to_numpy(np.int64),
        published_ts=frame["published_ts"].to_numpy(np.float64),
        stats=stats,
    )


def naive_reader(repository: Path, settings: Settings) -> Callable[[Ids, Ids], Floats]:
    """Returns a function that reads the item columns of candidates from the feature store: (post ids, creator ids) ->
    float32[n, STATS].

    Naive hydration is slow; the knob `hydration` exists to measure it. The optional step `naive` fills its repository.
    """
    store = open_store(repository, settings, online_only=True)

    def read(post_ids: Ids, creator_ids: Ids) -> Floats:
        columns = store.read_batch(POST_FEATURES, {"post_id": post_ids, "creator_id": creator_ids})
        return np.stack([np.nan_to_num(columns[name].astype(np.float32)) for name in STATS], axis=1)

    return read
