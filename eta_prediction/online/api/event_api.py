"""HTTP for ride events: publishes ends of trips, traversals, incidents and weather to the stream.

Consumers deduplicate events by id, so a client may send an event again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from pydantic import Field, model_validator
from starlette.responses import Response

from eta_prediction.domain import NONE, RIDE_TYPES
from eta_prediction.events.schemas import MOST_EDGES, TOPICS, Incident, Traversals, Trip, Weather
from eta_prediction.online.service import EtaService
from infra.serving.admission import Admission
from infra.serving.app import ASK_RESPONSES, no_release
from infra.serving.event_intake import FUTURE_S, Accepted, Id, accept, add_clock
from infra.serving.problems import problem
from infra.serving.schemas import StrictModel
from infra.serving.slot import ReleaseSlot
from infra.stream.producer import EventProducer

MAX_QUOTE = 2**49 - 1
MOST_EVENTS = 200
Time = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
MaybeDriver = Annotated[int, Field(ge=NONE, le=2**31 - 1)]


class TripIn(StrictModel):
    """A trip that was picked up, arrived or was cancelled, with the fields of its quote."""

    quote_id: int = Field(ge=0, le=MAX_QUOTE)
    status: Literal["picked_up", "arrived", "cancelled"]
    reason: str = Field("", max_length=40)
    request_ts: Time
    at_ts: Time
    origin: Id
    destination: Id
    ride_type: int = Field(ge=0, lt=len(RIDE_TYPES))
    driver_id: MaybeDriver = NONE
    served_driver_id: MaybeDriver = NONE
    quoted_s: Seconds
    policy: str = Field(max_length=40)
    propensity: float = Field(ge=0, le=1, allow_inf_nan=False)

    @model_validator(mode="after")
    def _check_order(self) -> TripIn:
        if self.at_ts < self.request_ts:
            raise ValueError("at_ts lies before request_ts")
        return self


class TraversalsIn(StrictModel):
    """An upload of a vehicle: its edges, when it entered them, and the seconds on each."""

    vehicle_id: Id
    trip_id: int = Field(ge=0, le=MAX_QUOTE)
    number: int = Field(ge=0, le=10_000)
    driver_id: MaybeDriver = NONE
    edges: list[Id] = Field(min_length=1, max_length=MOST_EDGES)
    enter_ts: list[Time] = Field(min_length=1, max_length=MOST_EDGES)
    seconds: list[Seconds] = Field(min_length=1, max_length=MOST_EDGES)

    @model_validator(mode="after")
    def _check_lengths(self) -> TraversalsIn:
        if not len(self.edges) == len(self.enter_ts) == len(self.seconds):
            raise ValueError("edges, enter_ts and seconds differ in length")
        return self


class IncidentIn(StrictModel):
    """A reported incident. `cleared_ts` of 0 means that it is still there."""

    incident_id: Id
    edge: Id
    begin_ts: Time
    reported_ts: Time
    cleared_ts: Time = 0.0


class WeatherIn(StrictModel):
    at_ts: Time
    rain: float = Field(ge=0, le=1, allow_inf_nan=False)


class EventsIn(StrictModel):
    trips: list[TripIn] = Field(default_factory=list, max_length=MOST_EVENTS)
    traversals: list[TraversalsIn] = Field(default_factory=list, max_length=MOST_EVENTS)
    incidents: list[IncidentIn] = Field(default_factory=list, max_length=MOST_EVENTS)
    weather: list[WeatherIn] = Field(default_factory=list, max_length=MOST_EVENTS)


class TripReport(TripIn):
    kind: Literal["trip"]


class TraversalsReport(TraversalsIn):
    kind: Literal["traversals"]


class IncidentReport(IncidentIn):
    kind: Literal["incident"]


class WeatherReport(WeatherIn):
    kind: Literal["weather"]


Report = Annotated[TripReport | TraversalsReport | IncidentReport | WeatherReport, Field(discriminator="kind")]


class ReportsIn(StrictModel):
    """Events of all kinds in one list, in the order of time."""

    reports: list[Report] = Field(min_length=1, max_length=MOST_EVENTS)


def add_intake(app: FastAPI, slot: ReleaseSlot[EtaService], producer: EventProducer, intake: Admission) -> None:
    """Add `POST /v1/events`, `POST /v1/reports` and `GET /v1/clock`."""
    add_clock(app, slot)

    async def publish(body: EventsIn) -> Response:
        service = slot.value
        if service is None:
            return no_release(slot.last_error)
        now = service.clock.now()
        if wrong := refusal(service, body, now):
            return problem(422, wrong)
        return await accept(published(body, now), producer, intake)

    @app.post(
        "/v1/reports", tags=["events"], summary="Publish what vehicles and the city report", status_code=202,
        response_model=Accepted, responses=ASK_RESPONSES,
    )  # fmt: skip
    async def reports(body: ReportsIn) -> Response:
        return await publish(by_kind(body))

    @app.post(
        "/v1/events", tags=["events"], summary="Publish trips, traversals, incidents and weather", status_code=202,
        response_model=Accepted, responses=ASK_RESPONSES,
    )  # fmt: skip
    async def events(body: EventsIn) -> Response:
        return await publish(body)


def by_kind(body: ReportsIn) -> EventsIn:
    """The same events in a list for each kind."""

    def of(kind: type[StrictModel]) -> list[Any]:
        return [report for report in body.reports if isinstance(report, kind)]

    return EventsIn.model_construct(
        trips=of(TripIn), traversals=of(TraversalsIn), incidents=of(IncidentIn), weather=of(WeatherIn)
    )


def refusal(service: EtaService, body: EventsIn, now: float) -> str:
    """Why the events cannot be accepted: a place that is not on the map, or a time that has not come; else empty."""
    graph = service.city.graph
    nodes = [node for trip in body.trips for node in (trip.origin, trip.destination)]
    edges = [edge for upload in body.traversals for edge in upload.edges] + [item.edge for item in body.incidents]
    if (most := max(nodes, default=0)) >= graph.nodes:
        return f"there is no node {most}: the map has the nodes 0 to {graph.nodes - 1}"
    if (most := max(edges, default=0)) >= graph.edges:
        return f"there is no edge {most}: the map has the edges 0 to {graph.edges - 1}"
    times = [trip.at_ts for trip in body.trips] + [item.at_ts for item in body.weather]
    times += [time for upload in body.traversals for time in upload.enter_ts]
    times += [time for item in body.incidents for time in (item.begin_ts, item.reported_ts, item.cleared_ts)]
    latest = max(times, default=-math.inf)
    return f"the time {latest} is in the future: the world time is {now:.3f}" if latest > now + FUTURE_S else ""


def published(body: EventsIn, now: float) -> Sequence[tuple[str, Any]]:
    """The (topic, event) pairs of a request that was received at `now`."""
    kinds: Sequence[tuple[str, Any, Sequence[StrictModel]]] = (
        (TOPICS.trips, Trip, body.trips),
        (TOPICS.traversals, Traversals, body.traversals),
        (TOPICS.incidents, Incident, body.incidents),
        (TOPICS.weather, Weather, body.weather),
    )
    return [
        (topic, kind(**item.model_dump(exclude={"kind"}), received_ts=now))
        for topic, kind, items in kinds
        for item in items
    ]
