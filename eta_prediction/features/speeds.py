"""Speeds: the newest estimate of the traffic, which a worker publishes and every service reads.

The build computes them for every minute of the history (`SpeedHistory`), with the same functions.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt

from eta_prediction.config import FeatureConfig
from eta_prediction.domain import Array, Ints
from eta_prediction.features.edge_residuals import EdgeSums
from eta_prediction.features.forecast import SpeedForecast, latest
from eta_prediction.features.profile import Profile
from eta_prediction.features.residuals import Residuals
from infra.live.live_arrays import read_arrays, write_arrays

Floats = npt.NDArray[np.float32]
EVERY_S = 60.0
"""time between the speeds of the history"""
FORECAST, OBSERVED = "speeds_forecast.npy", "speeds_observed.npy"


@dataclass(frozen=True)
class Speeds:
    """Speeds number `snapshot_id` as of `made_ts`: the residual log ratio `forecast` float32[groups, HORIZONS], the
    decayed number of traversals behind it, `observed` float32[groups], and `rain` as observed. `by_edge` float32[edges]
    are estimates of single edges, which replace those of groups if `probe_smoothing` is "edge"; else it is empty."""

    snapshot_id: int
    made_ts: float
    forecast: Floats
    observed: Floats
    rain: float
    by_edge: Floats = field(default_factory=lambda: np.zeros(0, np.float32))

    def write(self, path: Path) -> None:
        write_arrays(path, self)

    @classmethod
    def read(cls, path: Path) -> Speeds:
        """Raises `OSError` if the file is missing and `ValueError` if it is invalid."""
        return read_arrays(path, cls, [item.name for item in fields(cls)])


def make_speeds(
    config: FeatureConfig,
    profile: Profile,
    forecast: SpeedForecast,
    state: Residuals,
    snapshot_id: int,
    rain: float,
    edges: EdgeSums | None = None,
) -> Speeds:
    """The speeds at `state.at_ts`. `edges` are the sums of single edges, which only `probe_smoothing` "edge" needs."""
    by_edge = np.zeros(0) if edges is None else edges.estimates(profile)
    found, observed = speeds_of(config, profile, forecast, state.sums[None], profile.slot(np.array([state.at_ts])))
    return Speeds(snapshot_id, state.at_ts, found[0], observed[0], rain, by_edge.astype(np.float32))


def speeds_of(
    config: FeatureConfig, profile: Profile, forecast: SpeedForecast, sums: Array, slot: Array
) -> tuple[Floats, Floats]:
    """(residual log ratios float32[k, groups, HORIZONS], observed float32[k, groups]) for `sums` float64[k, PARTS,
    groups] at the times of the week `slot` float64[k]."""
    is_latest = config.speed_forecast == "latest"
    found: Floats = latest(profile, sums, slot) if is_latest else forecast.apply(profile, sums, slot)
    if config.probe_smoothing == "edge":
        found = np.zeros_like(found)  # `features.edge_residuals` estimates each edge instead
    return found, sums[:, -1].astype(np.float32)


@dataclass(frozen=True)
class SpeedHistory:
    """Speeds at `begin_ts`, and every `EVERY_S` later: `forecast` float32[k, groups, HORIZONS], `observed` float32[k,
    groups]. The arrays may be memory-mapped."""

    begin_ts: float
    forecast: Floats
    observed: Floats

    def at(self, at_ts: Array) -> Ints:
        """int64[n]: the newest speeds at times of the history."""
        number = np.floor((at_ts - self.begin_ts) / EVERY_S).astype(np.int64)
        return np.clip(number, 0, len(self.forecast) - 1)

    def made_ts(self, number: Ints) -> Array:
        """float64[n]: the times of these speeds."""
        found: Array = self.begin_ts + number.astype(np.float64) * EVERY_S
        return found

    @classmethod
    def open(cls, features: Path, begin_ts: float) -> SpeedHistory:
        arrays = (np.load(features / name, mmap_mode="r", allow_pickle=False) for name in (FORECAST, OBSERVED))
        return cls(begin_ts, *arrays)
