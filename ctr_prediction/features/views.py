"""Feast definitions of the ads (entities, views, feature service), and conversion of Feast rows to domain types."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ctr_prediction.domain import NONE, SLOTS, Floats, UserFeatures
from infra.feature_store.feast_import import types
from infra.feature_store.feast_store import FeastStore
from infra.feature_store.port import FeatureRow
from infra.feature_store.repository import StoredFeatures, open_repository
from infra.settings import Settings

FLOATS, INTS = types.Array(types.Float32), types.Array(types.Int64)
COUNTS: Mapping[str, Any] = {"shown": FLOATS, "clicks": types.Float32}

PROFILE: Mapping[str, Any] = {"segment": types.Int64, "age": types.Int64, "gender": types.Int64, "audience": INTS}
EXPOSURE: Mapping[str, Any] = {"seen_ads": INTS, "seen_counts": INTS, "seen_today": INTS}

VIEWS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "user_now": ("user_id", {**PROFILE, **COUNTS, **EXPOSURE}),
    "user_profile": ("user_id", PROFILE),
    "user_activity": ("user_id", COUNTS),
    "ad_stats": ("ad_id", {f"ad_{name}": kind for name, kind in COUNTS.items()}),
    "campaign_stats": ("campaign_id", {f"campaign_{name}": kind for name, kind in COUNTS.items()}),
}
"""Feature view -> (entity, feature -> type). Pair features (user × ad) are arrays in the user's row."""

ONLINE_VIEWS = ("user_now",)
"""The view that a request reads. Each view costs a tenth of a millisecond, so there is only one. Counts of ads and
campaigns are served from the snapshot."""
LIFETIMES: Mapping[str, timedelta] = dict.fromkeys(("ad_stats", "campaign_stats"), timedelta(days=1))
"""Every ad and campaign has a row per snapshot, and snapshots are at most a day apart (`FeatureConfig.ad_snapshot_h`).
A join sorts all rows within the lifetime before it takes the newest; with a year, it would sort 56 of them, not 5."""
STORED = StoredFeatures("ctr_prediction", "ctr_user", "user_id", VIEWS, ONLINE_VIEWS, LIFETIMES)
TRAINED_VIEWS = ("user_profile", "user_activity", "ad_stats", "campaign_stats")
"""The views that training joins. The log holds the served number of earlier impressions of an ad."""
TRAINED_FEATURES = [f"{view}:{name}" for view in TRAINED_VIEWS for name in VIEWS[view][1]]
USER_FEATURES = [f"{view}:{name}" for view in ONLINE_VIEWS for name in VIEWS[view][1]]
AD_FEATURES = [f"{view}:{name}" for view in ("ad_stats", "campaign_stats") for name in VIEWS[view][1]]


def open_store(repository: Path, settings: Settings, *, online_only: bool = False) -> FeastStore:
    """The store of one build (`infra.feature_store.repository`)."""
    return open_repository(STORED, repository, settings, online_only=online_only)


def default_user(segment: int = 0) -> UserFeatures:
    """The declared defaults: a user of `segment` and middle age without any history."""
    none = np.full((1, 1), NONE, np.int64)
    return UserFeatures(
        segment=np.full(1, segment, np.int64),
        age=np.full(1, 2, np.int64),
        gender=np.zeros(1, np.int64),
        audience=none,
        shown=np.zeros((1, SLOTS), np.float32),
        clicks=np.zeros(1, np.float32),
        seen_ads=none,
        seen_counts=np.zeros((1, 1), np.int64),
        seen_today=np.zeros((1, 1), np.int64),
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
    """The rows of an offline join as user features, with `default` for missing values and missing columns. Lists are
    padded: ids with `NONE`, counts with 0."""

    def column(name: str, fallback: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if name not in frame:
            return np.repeat(fallback, len(frame), axis=0)
        if fallback.ndim == 1:
            return frame[name].fillna(fallback[0]).to_numpy(fallback.dtype)
        rows = [fallback[0] if np.ndim(value) == 0 or not len(value) else value for value in frame[name]]
        filler = NONE if name in ("audience", "seen_ads") else 0
        out = np.full((len(rows), max([len(row) for row in rows], default=1)), filler, fallback.dtype)
        for index, row in enumerate(rows):
            out[index, : len(row)] = row
        return out

    return UserFeatures(**{name: column(name, fallback) for name, fallback in vars(default).items()})


def counts_from_frame(frame: pd.DataFrame, kind: str) -> tuple[Floats, Floats]:
    """float32[n, SLOTS] impressions and float32[n] clicks of `ad` or `campaign`; 0 for missing values."""
    shown = np.zeros((len(frame), SLOTS), np.float32)
    for index, value in enumerate(frame[f"{kind}_shown"]):
        if np.ndim(value):
            shown[index] = value
    return shown, frame[f"{kind}_clicks"].fillna(0.0).to_numpy(np.float32)
