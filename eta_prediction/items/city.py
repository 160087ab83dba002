"""The city as serving reads it: road graph, usual traffic, places, public events, and the engine's node order.

The build writes the snapshot, with a manifest; serving verifies and reads it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eta_prediction.config import FeatureConfig
from eta_prediction.domain import Ints, RoadGraph
from eta_prediction.events.history import GRAPH, EventRows, read_graph
from eta_prediction.features.forecast import SpeedForecast
from eta_prediction.features.great_circle import GreatCircle
from eta_prediction.features.places import Places
from eta_prediction.features.profile import Profile
from eta_prediction.features.route_inputs import Roads
from eta_prediction.features.route_time import RouteTime
from eta_prediction.items.road_state import RoadState
from infra.errors import CorruptArtifact
from infra.registry.manifest import verify, write_manifest

INDEX_AGAIN = "run: lab build eta_prediction --from index"
LEARNED = ("profile.npz", "forecast.npz", "places.npz", "route_time.npz", "learned.json")
"""files of the step `features` that serving and the worker read"""
ORDER, EVENTS, STATE = "order.npy", "events.npz", "state.npz"
FEATURES = "features"
"""key of the build's feature knobs in the manifest"""
DEFINING = (GRAPH, "profile.npz", "forecast.npz", "learned.json")
"""files that define the inputs of a trip. The estimates of places and drivers are not among them: they are as of a time
in every sample, and change with every build."""


@dataclass(frozen=True)
class City:
    """`order` is the engine's node order, None if the build had no engine that needs one. `state` is the state of the
    roads at the end of the log. `features` are the knobs of the build: serving computes features as training did.
    `inputs_digest` names the definition of the inputs."""

    graph: RoadGraph
    profile: Profile
    forecast: SpeedForecast
    places: Places
    route_time: RouteTime
    incident_life_s: float
    great_circle: GreatCircle
    events: EventRows
    order: Ints | None
    state: RoadState
    features: FeatureConfig
    meta: Mapping[str, Any]
    inputs_digest: str = ""

    @property
    def roads(self) -> Roads:
        return Roads(self.graph, self.profile, self.features.live_horizon_min)


def write_city(
    path: Path,
    world: Path,
    features: Path,
    events: EventRows,
    order: Ints | None,
    state: RoadState,
    config: FeatureConfig,
    meta: dict[str, Any],
) -> None:
    """Write the snapshot into the empty directory `path`. `world` and `features` are the outputs of those steps."""
    shutil.copyfile(world / GRAPH, path / GRAPH)
    for name in LEARNED:
        shutil.copyfile(features / name, path / name)
    if order is not None:
        np.save(path / ORDER, order)
    arrays: dict[str, Any] = dict(vars(events))
    np.savez(path / EVENTS, **arrays)
    state.write(path / STATE)
    write_manifest(path, meta | {FEATURES: asdict(config)})


def open_city(path: Path, *, model_digest: str | None = None) -> City:
    """Verify and read the snapshot. Raises `CorruptArtifact`, also if it was built for another model than that of
    `model_digest`."""
    manifest = verify(path, hint=INDEX_AGAIN)
    meta = manifest.meta
    if model_digest is not None and meta.get("model_digest") != model_digest:
        raise CorruptArtifact(f"the snapshot in {path} was built for another model", hint=INDEX_AGAIN)
    profile, forecast, places, route_time, learned = (path / name for name in LEARNED)
    with np.load(path / EVENTS, allow_pickle=False) as stored:
        events = EventRows(*(stored[name] for name in EventRows.__annotations__))
    try:
        config = FeatureConfig(**meta[FEATURES])
    except (KeyError, TypeError) as exc:
        raise CorruptArtifact(f"the snapshot in {path} was written by another version", hint=INDEX_AGAIN) from exc
    order, numbers = path / ORDER, json.loads(learned.read_text())
    return City(
        read_graph(path),
        Profile.read(profile),
        SpeedForecast.read(forecast),
        Places.read(places),
        RouteTime.read(route_time),
        float(numbers["incident_life_s"]),
        GreatCircle.of_json(numbers["great_circle"]),
        events,
        np.load(order, allow_pickle=False) if order.exists() else None,
        RoadState.read(path / STATE),
        config,
        meta,
        inputs_digest(manifest.files, config),
    )


def inputs_digest(files: Mapping[str, str], config: FeatureConfig) -> str:
    """A name for the definition of the inputs, from the SHA-256 of the files `DEFINING` and the knobs of the features.

    Inputs of two builds with the same digest may be mixed in one sample.
    """
    material = [[name, files[name]] for name in DEFINING] + [asdict(config)]
    return hashlib.sha256(json.dumps(material, sort_keys=True).encode()).hexdigest()[:16]
