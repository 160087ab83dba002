"""A bundle of tiny models: boosters stand in for the networks, because they export in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eta_prediction.model.artifact import MODELS, TRAFFIC, file_of, model_inputs
from eta_prediction.model.inputs import NAMES
from eta_prediction.offline.quantile_models.boosters import BoosterPlan, fit_boosters
from eta_prediction.offline.quantile_models.ensemble_onnx import export_boosters
from eta_prediction.offline.quantile_models.fit_corrected_route import fit_corrected_route, route_times
from infra.registry.manifest import write_manifest
from tests.support.eta_planted import planted

OFFSETS = {"all_days": (0.0, 0.0), "last_17": (0.3, 0.4), "last_4": (0.5, 0.6)}


def write_bundle(path: Path, rounds: int = 8, seed: int = 0, **meta: Any) -> str:
    """Write a bundle to the new directory `path` and return its digest. `meta` replaces parts of its description."""
    path.mkdir()
    x, seconds, _ = planted(6, seed)
    times, routes = route_times(x), {}
    for traffic in TRAFFIC:
        route = fit_corrected_route(x, times[traffic], seconds, 0)
        ratio, inputs = seconds / route.seconds(x, times[traffic]), model_inputs(traffic, x)
        boosters = fit_boosters(inputs, ratio, BoosterPlan(rounds, 4, 0))
        for name in MODELS:
            if name.endswith(traffic):
                export_boosters(boosters, inputs.shape[1], path / file_of(name), inputs[:50])
        routes[traffic] = route.as_json()
    described = {
        "names": list(NAMES),
        "routes": routes,
        "offsets": dict.fromkeys(MODELS, OFFSETS),
        "best": "network",
    }
    return write_manifest(path, described | meta).digest
