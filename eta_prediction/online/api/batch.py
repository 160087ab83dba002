"""HTTP for batches: the times from up to 500 origins to one destination, such as from all drivers nearby to a rider.

Without paths, one search of the engine gives the times of all routes, and the corrected route with its interval of past
trips answers. With paths, every pair gets the inputs and the model of a single quote, without a driver. Without an
engine, the great circle answers.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import orjson
from fastapi import Body, FastAPI, Request
from starlette.responses import Response

from eta_prediction.domain import RIDE_TYPES, Array, Ints
from eta_prediction.features.great_circle import between
from eta_prediction.features.views import no_driver
from eta_prediction.items.live_roads import DISTANCE, LIVE, PROFILE
from eta_prediction.model.artifact import CORRECTED
from eta_prediction.model.corrected_route import is_busy_at
from eta_prediction.model.quote import quoted_s
from eta_prediction.online.api.schemas import BatchRequest, BatchResponse
from eta_prediction.online.predict import NO_WAY_S
from eta_prediction.online.query import GREAT_CIRCLE, EtaQuery
from eta_prediction.online.service import EtaService
from infra.errors import RoutingUnavailable, UsageError
from infra.pipeline.trace import Trace
from infra.routing.routes import Routes
from infra.serving.admission import Admission
from infra.serving.app import ASK_RESPONSES, no_release
from infra.serving.schemas import knobs_set
from infra.serving.slot import ReleaseSlot
from infra.telemetry.metrics import ServiceMetrics

PATH = "/v1/eta/batch"
RIDE_OF = {name: number for number, name in enumerate(RIDE_TYPES)}


def add_batch(app: FastAPI, slot: ReleaseSlot[EtaService], metrics: ServiceMetrics, admission: Admission) -> None:
    """Add `POST /v1/eta/batch`."""

    @app.post(PATH, tags=["eta"], summary="Quote many trips to one place", response_model=BatchResponse,
        responses=ASK_RESPONSES,
    )  # fmt: skip
    async def batch(request: Request, body: Annotated[BatchRequest, Body()]) -> Response:
        service = slot.value
        if service is None:
            return no_release(slot.last_error)
        query = service.query(RIDE_OF[body.ride_type], knobs_set(body.knobs), departure=body.departure)
        trace = Trace()
        found = await admission.run(lambda: answer_batch(service, query, body, trace))
        metrics.count_degraded(trace)  # a stage of many pairs says nothing about that of one quote
        request.scope["state"]["degraded"] = trace.degraded
        return Response(
            orjson.dumps(found), media_type="application/json", headers={"Server-Timing": trace.server_timing()}
        )


def answer_batch(service: EtaService, query: EtaQuery, body: BatchRequest, trace: Trace) -> dict[str, Any]:
    """The document of a batch, with the fields of `BatchResponse`."""
    pipeline = service.pipeline
    with trace.query_stage("snap", "nearest_node"):
        target = pipeline.places.node("destination", body.destination.place())
        origins = [pipeline.places.node(f"origin {n}", place.place()) for n, place in enumerate(body.origins)]
    query = pipeline.stage("route", pipeline.feed, pipeline.feed.see, pipeline.feed.fallback, query, trace)
    source = PROFILE if query.route.found_with == LIVE and not query.is_live else query.route.found_with
    sources = np.array(origins, np.int64)
    if source == DISTANCE and not body.paths:
        raise UsageError("a shortest route has no time without its path", hint="set paths to true")
    try:
        answer = _with_paths if body.paths else _without_paths
        quantiles, model = answer(service, query, source, sources, target, trace)
    except RoutingUnavailable:  # the trace has the reason
        metres = between(service.city.graph, sources, np.full(len(sources), target))
        quantiles, model, source = service.city.great_circle.quantiles(metres), CORRECTED, GREAT_CIRCLE
    quoted = [None if np.isnan(row[1]) else quoted_s(row, query.quote.quote_quantile) / 60 for row in quantiles]
    return {
        "quoted_min": quoted,
        "p10_min": _minutes(quantiles[:, 0]),
        "p90_min": _minutes(quantiles[:, 2]),
        "route_source": source,
        "model": model,
        "model_version": service.model_version,
        "speeds_id": query.state.snapshot_id,
        "speeds_age_s": round(query.request_ts - query.state.made_ts, 3) if query.state.snapshot_id else None,
        "degraded": trace.degraded,
    }


def _without_paths(
    service: EtaService, query: EtaQuery, source: str, sources: Ints, target: int, trace: Trace
) -> tuple[Array, str]:
    """float64[n, 3]: corrected route times with the interval of past trips; NaN where no road leads."""
    with trace.query_stage("route", "many_to_one"):
        seconds = service.pipeline.router.engine(source).seconds_to(sources, target)
    slot = service.city.profile.slot(np.array([query.departure_ts]))
    with trace.query_stage("predict", CORRECTED):
        found = service.bundle.from_seconds(
            np.where(np.isfinite(seconds), seconds, np.nan),
            query.departure_ts,
            service.city.profile.time_zone,
            query.ride_type,
            is_live=source == LIVE,
            is_busy_hour=bool(is_busy_at(service.city.profile.traffic(slot))[0]),
        )
    return found, CORRECTED


def _with_paths(
    service: EtaService, query: EtaQuery, source: str, sources: Ints, target: int, trace: Trace
) -> tuple[Array, str]:
    pipeline = service.pipeline
    with trace.query_stage("route", "paths"):
        paths = pipeline.router.engine(source).paths_to(sources, target)
    found = np.full((len(sources), 3), np.nan)
    there = np.array([n for n, path in enumerate(paths) if path is not None and len(path.edges)], np.int64)
    same = np.array([n for n, path in enumerate(paths) if path is not None and not len(path.edges)], np.int64)
    if len(there):
        with trace.query_stage("forecast", pipeline.forecaster.name):
            routes = Routes.of([path.edges for path in paths if path is not None and len(path.edges)])
            state = query.state if query.is_live else query.state.without_traffic()
            x = pipeline.forecaster.of_routes(
                routes,
                sources[there],
                np.full(len(there), target),
                query.departure_ts,
                query.ride_type,
                no_driver(len(there)),
                state,
                query.state.rain,
            )
        query = pipeline.stage(
            "predict",
            pipeline.predictor,
            pipeline.predictor.predict,
            pipeline.predictor.fallback,
            query.but(x=x),
            trace,
        )
        found[there] = query.quantiles.reshape(-1, 3)
    found[same] = NO_WAY_S
    return found, query.model


def _minutes(seconds: Array) -> list[float | None]:
    return [None if np.isnan(value) else value / 60 for value in seconds.tolist()]
