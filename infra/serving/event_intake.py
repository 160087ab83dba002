"""Event intake over HTTP: ids, the world's clock, and events that are acknowledged once the broker has them.

202 means that the broker has the events. With 503 nothing is acknowledged and the caller sends the same events again:
consumers recognise them by their ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Protocol

import orjson
from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.responses import Response

from infra.errors import StreamUnavailable
from infra.live.clock import WorldClock
from infra.serving.admission import Admission
from infra.serving.app import PROBLEM, nothing_to_serve
from infra.serving.problems import problem
from infra.serving.slot import ReleaseSlot
from infra.stream.event import Event
from infra.stream.producer import EventProducer

MAX_ID = 2**53 - 1
"""Largest integer that every JSON reader keeps exact."""
ACKNOWLEDGED_S = 2.0
FUTURE_S = 1.0
"""by how much the clock of a caller may be ahead"""

Id = Annotated[int, Field(ge=0, le=MAX_ID)]


class Accepted(BaseModel):
    accepted: int = Field(description="how many the broker has")


class Clock(BaseModel):
    now: float = Field(description="the world's time, in seconds since the epoch, UTC")


class HasClock(Protocol):
    @property
    def clock(self) -> WorldClock: ...


class HasRequestTime(Protocol):
    @property
    def request_ts(self) -> float: ...


def refuse_future(items: Sequence[HasRequestTime], now: float) -> Response | None:
    """422 where an item was requested after `now`, in seconds since the epoch; else None."""
    if late := [item for item in items if item.request_ts > now + FUTURE_S]:
        return problem(422, f"request_ts {late[0].request_ts} lies in the future: it is {now:.3f} in this world")
    return None


async def accept(found: Sequence[tuple[str, Event]], producer: EventProducer, intake: Admission) -> Response:
    """Publish (topic, event) pairs: 202 once the broker has all of them, 503 where it does not answer in time."""
    try:
        await intake.run(lambda: producer.publish(found, ACKNOWLEDGED_S))
    except StreamUnavailable as exc:
        return problem(
            503, f"{exc}; no event is acknowledged; send the same request again", headers={"Retry-After": "1"}
        )
    return Response(orjson.dumps({"accepted": len(found)}), status_code=202, media_type="application/json")


def add_clock(app: FastAPI, slot: ReleaseSlot[Any]) -> None:
    """Add `GET /v1/clock`. What the slot holds has a `clock` (`HasClock`)."""

    @app.get("/v1/clock", tags=["events"], summary="What time is it in this world?", response_model=Clock,
        responses={503: PROBLEM},
    )  # fmt: skip
    async def clock() -> Response:
        service: HasClock | None = slot.value
        if service is None:
            return nothing_to_serve(slot.last_error)
        return Response(orjson.dumps({"now": service.clock.now()}), media_type="application/json")
