"""HTTP for the ads' events: publishes impressions and clicks to the stream.

Consumers deduplicate impressions and clicks by auction and slot.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import Field
from starlette.responses import Response

from ctr_prediction.domain import DEVICES
from ctr_prediction.events.schemas import MAX_PLACES, TOPICS, Click, Impression
from ctr_prediction.online.service import CtrService
from infra.serving.admission import Admission
from infra.serving.app import ASK_RESPONSES, no_release
from infra.serving.event_intake import Accepted, Id, accept, add_clock, refuse_future
from infra.serving.problems import problem
from infra.serving.schemas import StrictModel
from infra.serving.slot import ReleaseSlot
from infra.stream.producer import EventProducer

MAX_AUCTION = 2**49 - 1

Price = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class ClickIn(StrictModel):
    """A click on a slot of an auction, with its fields as in the response."""

    auction_id: int = Field(ge=0, le=MAX_AUCTION)
    slot: int = Field(ge=0, lt=MAX_PLACES)
    user_id: Id
    ad_id: Id
    price: Price
    request_ts: float = Field(ge=0, allow_inf_nan=False, description="request_ts of the response")


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


def add_intake(app: FastAPI, slot: ReleaseSlot[CtrService], producer: EventProducer, intake: Admission) -> None:
    """Add `POST /v1/events` and `GET /v1/clock`."""
    add_clock(app, slot)

    @app.post(
        "/v1/events", tags=["events"], summary="Publish impressions and clicks", status_code=202,
        response_model=Accepted, responses=ASK_RESPONSES,
    )  # fmt: skip
    async def events(body: EventsIn) -> Response:
        service = slot.value
        if service is None:
            return no_release(slot.last_error)
        now = service.clock.now()
        items: list[ClickIn] = [*body.impressions, *body.clicks]
        if late := refuse_future(items, now):
            return late
        if unknown := service.unknown([item.ad_id for item in items]):
            return problem(422, f"there is no ad {unknown[0]}")
        found: list[tuple[str, Any]] = [
            (TOPICS.impressions, Impression(**item.model_dump(), seen_ts=now)) for item in body.impressions
        ]
        found += [(TOPICS.clicks, Click(**item.model_dump(), label_ts=now)) for item in body.clicks]
        return await accept(found, producer, intake)
