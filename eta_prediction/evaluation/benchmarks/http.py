"""The service over HTTP: throughput next to a constant route, and the latency of batches."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np

from eta_prediction.design import DESIGN
from eta_prediction.online.api.batch import PATH as BATCH_PATH
from infra.errors import LabError
from infra.evaluation.speed.closed_loop import answer_of, latencies_ms, throughput
from infra.evaluation.speed.reference_app import reference_app

CONSTANT = "eta_prediction.evaluation.constant_route"
SLICE, SIZED, WARM_UP_REQUESTS = 200, 20, 500
Bodies = Sequence[Mapping[str, Any]]


def over_constant(url: str, series: Mapping[str, Bodies]) -> Mapping[str, float]:
    """Throughput of each series of requests relative to a constant route with answers of the same size.

    Slices of the service and of the constant route alternate, so other load on the machine affects both. Raises
    `LabError` if the service does not answer with live traffic, because other quotes take less work.
    """
    path, found = DESIGN.ask.path, {}
    size = _usual_size(url, next(iter(series.values())))
    with reference_app(CONSTANT, str(size)) as constant:
        throughput(constant, path, [{"origin": {"node": 0}, "destination": {"node": 1}}] * WARM_UP_REQUESTS)
        for name, bodies in series.items():
            found[f"{name}_over_constant"] = median(
                throughput(url, path, part) / throughput(constant, path, part)
                for part in (bodies[start : start + SLICE] for start in range(0, len(bodies), SLICE))
            )
    return found


def batch_p99_ms(url: str, bodies: Bodies) -> float:
    """p99 of the latency of batches, one after the other. Raises `LabError` if an answer is degraded."""
    degraded = json.loads(answer_of(url, BATCH_PATH, bodies[0]))["degraded"]
    if degraded:
        raise LabError(f"the service answers batches degraded: {', '.join(degraded)}")
    return float(np.quantile(latencies_ms(url, BATCH_PATH, bodies), 0.99))


def _usual_size(url: str, bodies: Bodies) -> int:
    """Median size in bytes of the first answers."""
    answers = [answer_of(url, DESIGN.ask.path, body) for body in bodies[:SIZED]]
    models = {json.loads(answer)["model"] for answer in answers}
    if not all(model.endswith("_live") for model in models):
        raise LabError(f"the service answers with {', '.join(sorted(models))}, not with live traffic")
    return round(median(len(answer) for answer in answers))
