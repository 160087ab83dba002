"""Event intake over HTTP: id limits, the world clock, and publishing with acknowledgement.

202 means that the broker has stored the events. 503 means that no event is acknowledged, and the client retries with
the same events. Consumers deduplicate events by id.
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
from infra.serving.app import PROBLEM, no_release
from infra.serving.problems import problem
from infra.serving.slot import ReleaseSlot
from infra.stream.event import Event
from infra.stream.producer import EventProducer

MAX_ID = 2**53 - 1
"""Largest integer that every JSON parser represents exactly."""
ACKNOWLEDGED_S = 2.0
FUTURE_S = 1.0
"""maximum lead of a client's clock, in seconds"""

Id = Annotated[int, Field(ge=0, le=MAX_ID)]


class Accepted(BaseModel):
    accepted: int = Field(description="number of events that the broker has acknowledged")


class Clock(BaseModel):
    now: float = Field(description="world time, in seconds since the epoch, UTC")


class HasClock(Protocol):
    @property
    def clock(self) -> WorldClock: ...


class HasRequestTime(Protocol):
    @property
    def request_ts(self) -> float: ...


def refuse_future(items: Sequence[HasRequestTime], now: float) -> Response | None:
    """Return a 422 if an item's `request_ts` is after `now` (seconds since the epoch) plus `FUTURE_S`; else None."""
    if late := [item for item in items if item.request_ts > now + FUTURE_S]:
        return problem(422, f"request_ts {late[0].request_ts} is in the future: the world time is {now:.3f}")
    return None


async def accept(found: Sequence[tuple[str, Event]], producer: EventProducer, intake: Admission) -> Response:
    """Publish (topic, event) pairs. Answers 202 once the broker has stored all, 503 if the broker does not answer in
    time."""
    try:
        await intake.run(lambda: producer.publish(found, ACKNOWLEDGED_S))
    except StreamUnavailable as exc:
        return problem(
            503, f"{exc}; no event is acknowledged; send the same request again", headers={"Retry-After": "1"}
        )
    return Response(orjson.dumps({"accepted": len(found)}), status_code=202, media_type="application/json")


def add_clock(app: FastAPI, slot: ReleaseSlot[Any]) -> None:
    """Add `GET /v1/clock`. The service in the slot must have a `clock` (`HasClock`)."""

    @app.get("/v1/clock", tags=["events"], summary="Read the world time", response_model=Clock,
        responses={503: PROBLEM},
    )  # fmt: skip
    async def clock() -> Response:
        service: HasClock | None = slot.value
        if service is None:
            return no_release(slot.last_error)
        return Response(orjson.dumps({"now": service.clock.now()}), media_type="application/json")
