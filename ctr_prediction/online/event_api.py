"""Event intake of the ads over HTTP: the service publishes impressions and clicks to the stream.

202 means that the broker has acknowledged all events. Otherwise the response is 503, and the caller sends the same
events again. Retries are safe: impressions and clicks are identified by auction and slot.
"""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.responses import Response

from ctr_prediction.domain import DEVICES
from ctr_prediction.events.schemas import MAX_PLACES, TOPICS, Click, Impression
from ctr_prediction.online.pipeline import CtrService
from infra.errors import StreamUnavailable
from infra.serving.admission import Admission
from infra.serving.app import ASK_RESPONSES, PROBLEM, nothing_to_serve
from infra.serving.problems import problem
from infra.serving.schemas import StrictModel
from infra.serving.slot import ReleaseSlot
from infra.stream.producer import EventProducer

MAX_ID = 2**53 - 1
"""Largest integer that every JSON parser keeps exact."""
MAX_AUCTION = 2**49 - 1
ACKNOWLEDGED_S = 2.0

Id = Annotated[int, Field(ge=0, le=MAX_ID)]
Price = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class ClickIn(StrictModel):
    """A click on a slot of an auction, with its fields as in the response."""

    auction_id: int = Field(ge=0, le=MAX_AUCTION)
    slot: int = Field(ge=0, lt=MAX_PLACES)
    user_id: Id
    ad_id: Id
    price: Price
    request_ts: float = Field(ge=0, allow_inf_nan=False, description="as in the response")


class ImpressionIn(ClickIn):
    """A slot shown on a page, with its fields as in the response."""

    publisher_id: Id
    device: int = Field(ge=0, lt=len(DEVICES))
    campaign_id: Id
    seen: int = Field(ge=0, le=1_000_000)
    bid: Price
    p_click: Probability
    policy: str = Field(max_length=40)
    propensity: Probability


class EventsIn(StrictModel):
    impressions: list[ImpressionIn] = Field(default_factory=list, max_length=500)
    clicks: list[ClickIn] = Field(default_factory=list, max_length=500)


class Accepted(BaseModel):
    accepted: int = Field(description="number of events that the broker has acknowledged")


class Clock(BaseModel):
    now: float = Field(description="world time, in seconds since the epoch, UTC")


def add_intake(app: FastAPI, slot: ReleaseSlot[CtrService], producer: EventProducer, intake: Admission) -> None:
    """Add `POST /v1/events` and `GET /v1/clock`."""

    @app.post(
        "/v1/events", tags=["events"], summary="Publish impressions and clicks", status_code=202,
        response_model=Accepted, responses=ASK_RESPONSES,
    )  # fmt: skip
    async def events(body: EventsIn) -> Response:
        service = slot.value
        if service is None:
            return nothing_to_serve(slot.last_error)
        now = service.clock.now()
        told: list[ClickIn] = [*body.impressions, *body.clicks]
        if late := [item for item in told if item.request_ts > now + 1.0]:
            return problem(422, f"request_ts {late[0].request_ts} lies in the future: the world time is {now:.3f}")
        if unknown := service.unknown([item.ad_id for item in told]):
            return problem(422, f"there is no ad {unknown[0]}")
        found: list[tuple[str, Any]] = [
            (TOPICS.impressions, Impression(**item.model_dump(), seen_ts=now)) for item in body.impressions
        ]
        found += [(TOPICS.clicks, Click(**item.model_dump(), label_ts=now)) for item in body.clicks]
        try:
            await intake.run(lambda: producer.publish(found, ACKNOWLEDGED_S))
        except StreamUnavailable as exc:
            return problem(503, f"{exc}; no event is acknowledged, send the same again", headers={"Retry-After": "1"})
        return Response(orjson.dumps({"accepted": len(found)}), status_code=202, media_type="application/json")

    @app.get("/v1/clock", tags=["events"], summary="Read the world time", response_model=Clock,
        responses={503: PROBLEM},
    )  # fmt: skip
    async def clock() -> Response:
        service = slot.value
        if service is None:
            return nothing_to_serve(slot.last_error)
        return Response(orjson.dumps({"now": service.clock.now()}), media_type="application/json")
