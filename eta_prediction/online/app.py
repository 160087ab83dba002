"""HTTP for ride ETA: the endpoint of a quote, its map, the batch, events, and the app."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

import orjson
from fastapi import Body, FastAPI, Query, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from eta_prediction.design import DESIGN
from eta_prediction.domain import RIDE_TYPES
from eta_prediction.events.paths import LIVE, end_of_log
from eta_prediction.events.schemas import TOPICS, topics
from eta_prediction.items.road_state import FILE, RoadState
from eta_prediction.online.api.batch import add_batch
from eta_prediction.online.api.document import document, map_of
from eta_prediction.online.api.event_api import add_intake
from eta_prediction.online.api.schemas import EXAMPLES, EtaRequest, EtaResponse
from eta_prediction.online.bootstrap import EtaBootstrap
from eta_prediction.online.log_entry import quote_of, shadow_quote
from eta_prediction.online.query import EtaQuery
from eta_prediction.online.service import EtaService
from eta_prediction.online.traffic_metrics import TrafficMetrics
from infra.live.live_arrays import ArraysWatcher
from infra.pipeline.trace import Trace
from infra.serving.admission import Admission
from infra.serving.app import ASK_RESPONSES, no_release
from infra.serving.schemas import knobs_set
from infra.serving.serve import make_parts, open_slot, serve, shadow_of
from infra.serving.shadow import Shadow
from infra.serving.slot import ReleaseSlot
from infra.settings import Settings
from infra.stream.producer import EventProducer
from infra.telemetry.metrics import ServiceMetrics

COUNTED = (TOPICS.quotes, TOPICS.trips, TOPICS.traversals, TOPICS.incidents, TOPICS.weather)
RIDE_OF = {name: number for number, name in enumerate(RIDE_TYPES)}


def create_app(settings: Settings | None = None) -> ASGIApp:
    """The ASGI factory. Reads `settings` from the environment if they are None."""
    settings = settings or Settings()
    live = settings.design_root(DESIGN.name) / LIVE
    parts = make_parts(DESIGN, settings, live, FILE, topics(), COUNTED)
    bootstrap = EtaBootstrap(parts.shared, parts.config)
    slot = open_slot(parts, bootstrap, end_of_log)
    parts.metrics.registry.register(TrafficMetrics(lambda: slot.value))

    shadow = shadow_of(parts, slot, TOPICS.quotes)

    async def quick(state: dict[str, Any], body: EtaRequest) -> Response:
        return await eta_response(slot, parts.metrics, parts.admission, parts.producer, shadow, state, body)

    def follow_roads(state: RoadState) -> None:
        for service in slot.values:
            bootstrap.follow(service, state)

    def add_routes(app: FastAPI) -> None:
        add_eta(app, slot, parts.metrics, parts.admission, parts.producer, shadow)
        add_map(app, slot, parts.admission)
        add_batch(app, slot, parts.metrics, parts.admission)
        add_intake(app, slot, parts.producer, parts.intake)

    followers = (ArraysWatcher(live / FILE, RoadState.read, follow_roads), shadow)
    return serve(parts, slot, add_routes, followers=followers, quick=(EtaRequest, quick))


def add_eta(
    app: FastAPI,
    slot: ReleaseSlot[EtaService],
    metrics: ServiceMetrics,
    admission: Admission,
    producer: EventProducer,
    shadow: Shadow,
) -> None:
    """Add `POST /v1/eta`."""

    @app.post(
        DESIGN.ask.path, tags=["eta"], summary="Quote a trip", response_model=EtaResponse, responses=ASK_RESPONSES
    )
    async def eta(
        request: Request,
        body: Annotated[EtaRequest, Body(openapi_examples=EXAMPLES)],
        explain: Annotated[bool, Query(description="add the trace of the request")] = False,
    ) -> Response:
        state = request.scope["state"]
        return await eta_response(slot, metrics, admission, producer, shadow, state, body, explain=explain)


async def eta_response(
    slot: ReleaseSlot[EtaService],
    metrics: ServiceMetrics,
    admission: Admission,
    producer: EventProducer,
    shadow: Shadow,
    state: dict[str, Any],
    body: EtaRequest,
    *,
    explain: bool = False,
) -> Response:
    """Handle a request for a quote. Without a rider, a rollout draws the model anew for each quote."""
    service = slot.value_for(secrets.randbits(53) if body.rider_id is None else body.rider_id)
    if service is None:
        return no_release(slot.last_error)
    state["model"] = service.model_version
    query, trace = await _answered(service, admission, body)
    metrics.observe(trace)
    state["degraded"] = trace.degraded
    producer.hand_over(TOPICS.quotes, quote_of(service, query, trace.degraded))
    shadow.offer(lambda challenger: shadow_quote(challenger, query))
    return Response(
        orjson.dumps(document(service, query, trace, explain=explain)),
        media_type="application/json",
        headers={"Server-Timing": trace.server_timing()},
    )


async def _answered(service: EtaService, admission: Admission, body: EtaRequest) -> tuple[EtaQuery, Trace]:
    query = service.query(
        RIDE_OF[body.ride_type],
        knobs_set(body.knobs),
        driver_id=body.driver_id,
        departure=body.departure,
        routes=body.routes,
        seed=body.seed,
    )
    origin, destination = body.origin.place(), body.destination.place()
    return await admission.run_async(lambda: service.answer_soon(query, origin, destination))


def add_map(app: FastAPI, slot: ReleaseSlot[EtaService], admission: Admission) -> None:
    """Add `POST /v1/eta/map`: the same request, answered by a drawing of the city."""

    @app.post(
        DESIGN.ask.picture, tags=["eta"], summary="Draw a quote on a map", response_class=Response,
        responses=ASK_RESPONSES | {200: {"content": {"image/svg+xml": {}}}},
    )  # fmt: skip
    async def eta_map(body: Annotated[EtaRequest, Body(openapi_examples=EXAMPLES)]) -> Response:
        service = slot.value
        if service is None:
            return no_release(slot.last_error)
        query, trace = await _answered(service, admission, body)
        svg = await admission.run(lambda: map_of(service, query, trace.degraded))
        return Response(svg, media_type="image/svg+xml")
