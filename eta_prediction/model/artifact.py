"""The models of one version, as files. `offline.train` writes them; offline and online code read them.

A version has two families, LightGBM (one ONNX ensemble for three quantiles) and a small network, each once with the
inputs of live traffic and once without, and the corrected routes on which all of them build.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eta_prediction.domain import Array
from eta_prediction.model.corrected_route import CorrectedRoute, is_busy
from eta_prediction.model.inputs import NAMES, STATIC_NAMES, Floats, column
from eta_prediction.model.quantiles import seconds_of
from infra.errors import CorruptArtifact
from infra.registry.manifest import Manifest, is_whole, verify
from infra.serving.onnx_model import MissingModel, OnnxModel

BUILD = "run: lab build eta_prediction"
FETCH_AGAIN = "run: lab build eta_prediction --from release"
FAMILIES, TRAFFIC = ("network", "boosters"), ("live", "static")
MODELS = tuple(f"{family}_{traffic}" for family in FAMILIES for traffic in TRAFFIC)
CORRECTED = "corrected_route"
ROUTE_OF = {"live": "live_s", "static": "profile_s"}
"""the input that holds the route's time, by kind of traffic"""
STATIC_COLUMNS = [NAMES.index(name) for name in STATIC_NAMES]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bundle:
    """`models` has the name of each model -> float32[n, inputs] -> ratios float32[n, 3]. `routes` has a corrected route
    for live and for static traffic, `offsets` the conformal adjustment of each model, by kind of calibration."""

    models: Mapping[str, Callable[[Floats], Floats]]
    routes: Mapping[str, CorrectedRoute]
    offsets: Mapping[str, Mapping[str, tuple[float, float]]]
    best: str
    """the family with the lower pinball loss on the last training days"""
    meta: Mapping[str, Any]
    digest: str

    def base_s(self, traffic: str, x: Floats) -> Array:
        """float64[n]: corrected route times."""
        return self.routes[traffic].seconds(x, column(x, ROUTE_OF[traffic]))

    def quantiles(self, name: str, x: Floats, calibration: str = "all_days", model: Any = None) -> Array:
        """float64[n, 3]: P10, P50 and P90 in seconds. `model` replaces the bundle's own, for faults and tests."""
        traffic = name.rpartition("_")[2]
        call = self.models[name] if model is None else model
        ratios = call(model_inputs(traffic, x))
        offsets = (0.0, 0.0) if calibration == "none" else self.offsets[name][calibration]
        return seconds_of(ratios, self.base_s(traffic, x), offsets)

    def historical(self, traffic: str, x: Floats) -> Array:
        """float64[n, 3]: the corrected route with the interval of past trips."""
        route_s = column(x, ROUTE_OF[traffic])
        return self.routes[traffic].quantiles(self.base_s(traffic, x), route_s, is_busy(x))

    def from_seconds(
        self, route_s: Array, departure_ts: float, time_zone: str, ride_type: int, *, is_live: bool, is_busy_hour: bool
    ) -> Array:
        """float64[n, 3]: like `historical`, where only the times of routes are known. NaN stays NaN."""
        n, route = len(route_s), self.routes["live" if is_live else "static"]
        at_ts, ride = np.full(n, departure_ts), np.full(n, ride_type, np.int64)
        corrected = route.from_seconds(route_s, at_ts, time_zone, ride)
        found = route.quantiles(corrected, np.nan_to_num(route_s), np.full(n, is_busy_hour))
        return np.where(np.isnan(corrected)[:, None], np.nan, found)


def model_inputs(traffic: str, x: Floats) -> Floats:
    """float32[n, inputs]: the columns that a model with this kind of traffic sees."""
    return x if traffic == "live" else np.ascontiguousarray(x[:, STATIC_COLUMNS])


def columns_of(traffic: str) -> tuple[str, ...]:
    """The names of these columns."""
    return NAMES if traffic == "live" else STATIC_NAMES


def file_of(name: str) -> str:
    return f"{name}.onnx"


def load_bundle(path: Path, digest: str | None = None) -> Bundle:
    """Verify every byte, then load. Raises `CorruptArtifact`, also if the models were trained on other inputs than this
    code computes."""
    return _bundle(path, verify(path, digest=digest, hint=FETCH_AGAIN))


def load_intact_models(path: Path, digest: str) -> Bundle | None:
    """Like `load_bundle`, but replaces each damaged model with one that raises `ModelUnavailable` at each use; None if
    the corrected routes are damaged. For a service that has no older version to keep serving."""
    try:
        return _bundle(path, verify(path, digest=digest, skip=[file_of(name) for name in MODELS]))
    except CorruptArtifact as exc:
        log.error("starting without any model: %s", exc)
        return None


def _bundle(path: Path, manifest: Manifest) -> Bundle:
    meta = manifest.meta
    if tuple(meta.get("names", ())) != NAMES:
        raise CorruptArtifact(f"the models in {path} were trained on other inputs than this code computes", hint=BUILD)
    models: dict[str, Callable[[Floats], Floats]] = {}
    for name in MODELS:
        if file_of(name) not in manifest.files:
            raise CorruptArtifact(f"{path} has no {file_of(name)}; an older version wrote it", hint=BUILD)
        if is_whole(path, manifest, file_of(name)):
            width = len(columns_of(name.rpartition("_")[2]))
            models[name] = OnnxModel(path / file_of(name), width=width)
        else:
            why = f"{path / file_of(name)} is missing or does not match its SHA-256"
            log.error("starting without %s: %s", name, why)
            models[name] = MissingModel(name, why)
    routes = {traffic: CorrectedRoute.of_json(meta["routes"][traffic]) for traffic in TRAFFIC}
    offsets = {
        name: {kind: (float(low), float(high)) for kind, (low, high) in found.items()}
        for name, found in meta["offsets"].items()
    }
    return Bundle(models, routes, offsets, meta["best"], meta, manifest.digest)
