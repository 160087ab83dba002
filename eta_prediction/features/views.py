"""Feast definitions of the ETA design: the driver's row, and conversion of Feast rows to arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eta_prediction.domain import NONE, Array, Ints
from eta_prediction.features.driver_row import VIEW
from infra.feature_store.feast_import import types
from infra.feature_store.feast_store import FeastStore
from infra.feature_store.port import FeatureRow
from infra.feature_store.repository import StoredFeatures, open_repository
from infra.settings import Settings

DRIVER: Mapping[str, Any] = {"habit": types.Float32, "trips": types.Float32, "lateness": types.Float32}
VIEWS: Mapping[str, tuple[str, Mapping[str, Any]]] = {VIEW: ("driver_id", DRIVER)}
"""Feature view -> (entity, feature -> type)"""
ONLINE_VIEWS = (VIEW,)
STORED = StoredFeatures("eta_prediction", "eta_driver", "driver_id", VIEWS, ONLINE_VIEWS)
DRIVER_FEATURES = [f"{VIEW}:{name}" for name in DRIVER]


def open_store(repository: Path, settings: Settings, *, online_only: bool = False) -> FeastStore:
    """The store of one build (`infra.feature_store.repository`)."""
    return open_repository(STORED, repository, settings, online_only=online_only)


@dataclass(frozen=True)
class DriverFeatures:
    """float64[n] each. A trip without a driver, or with one that has no row, has zeros; `is_known` is then 0."""

    is_known: Array
    habit: Array
    trips: Array
    lateness: Array


def no_driver(n: int = 1) -> DriverFeatures:
    """The declared defaults: no driver is assigned, or nothing is known about the driver."""
    return DriverFeatures(*(np.zeros(n) for _ in range(4)))


def driver_from_row(row: FeatureRow) -> DriverFeatures:
    """One row of the store. A row without values has the defaults."""
    values = {name: value for name, value in row.values.items() if value is not None}
    if not values:
        return no_driver()
    return DriverFeatures(np.ones(1), *(np.array([float(values.get(name, 0.0))]) for name in DRIVER))


def drivers_from_frame(frame: pd.DataFrame, driver_id: Ints) -> DriverFeatures:
    """The rows of an offline join, for trips with `driver_id` int64[n]."""
    is_known = frame["trips"].notna().to_numpy() & (driver_id != NONE)
    found = (np.where(is_known, frame[name].fillna(0.0).to_numpy(np.float64), 0.0) for name in DRIVER)
    return DriverFeatures(is_known.astype(np.float64), *found)
