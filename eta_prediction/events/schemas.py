"""Event schemas of the ride stream. ADR 0011 lists the producers and consumers of each topic.

Times are seconds since the epoch, UTC, of the world clock. `received_ts` is the time when the service received an
event: features count it from then on. A quote's id is also the number of its trip. JSON has no infinite numbers, so a
`cleared_ts` of 0 means that an incident is still there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

MOST_EDGES = 200
"""most edges of one upload of traversals"""
PICKED_UP = "picked_up"
"""status of a trip that is neither arrived nor cancelled (`domain.ARRIVED`, `domain.CANCELLED`)"""


@dataclass(frozen=True)
class Topics:
    """Topic names of the rides."""

    quotes: str = "eta_prediction.quotes"
    trips: str = "eta_prediction.trips"
    traversals: str = "eta_prediction.traversals"
    incidents: str = "eta_prediction.incidents"
    weather: str = "eta_prediction.weather"
    speeds: str = "eta_prediction.speeds"
    dead_letters: str = "eta_prediction.dead_letters"


TOPICS = Topics()


def topics() -> tuple[str, ...]:
    """All topics of the rides."""
    return tuple(getattr(TOPICS, item.name) for item in fields(TOPICS))


@dataclass(frozen=True)
class Quote:
    """One answer, with everything that a replay needs.

    `edges` int32[k] is the quoted route and `x` float32[NAMES] are the model's inputs; both are base64 of their bytes
    (`codec.pack`). `quantiles` are P10, P50 and P90 in seconds. `speeds_id` and `speeds_ts` name the state of the roads
    (0: none), `driver_ts` is the as-of time of the driver's row (0: defaults). `driver_id` is -1 without a driver.
    `traffic` is "live" or "static": whether the state's traffic described the departure. `inputs_digest` names the
    definition of the inputs (`items.city.inputs_digest`); it is empty in quotes of version 1. `shadow_of` is the id of
    the quote that the rider got, if the challenger of a rollout has computed this one in the shadow; else -1.
    """

    SCHEMA: ClassVar[str] = "eta.quote"
    VERSION: ClassVar[int] = 3

    quote_id: int
    request_ts: float
    departure_ts: float
    origin: int
    destination: int
    ride_type: int
    driver_id: int
    policy: str
    propensity: float
    seed: int
    knobs: Mapping[str, Any]
    degraded: Sequence[str]
    model_version: str
    model_digest: str
    model: str
    speeds_id: int
    speeds_ts: float
    traffic: str
    route_source: str
    edges: str
    x: str
    driver_ts: float
    quantiles: Sequence[float]
    quoted_s: float
    distance_m: float
    inputs_digest: str = ""
    shadow_of: int = -1

    @property
    def event_id(self) -> str:
        return str(self.quote_id)

    @property
    def event_ts(self) -> float:
        return self.request_ts

    @property
    def key(self) -> str:
        return str(self.quote_id)


@dataclass(frozen=True)
class Trip:
    """A trip that was picked up, arrived or was cancelled at `at_ts`, with the fields of its quote.

    `driver_id` was assigned at the quote, `served_driver_id` drove the trip; -1 is no driver. `reason` is the reason
    of a cancellation.
    """

    SCHEMA: ClassVar[str] = "eta.trip"
    VERSION: ClassVar[int] = 1

    quote_id: int
    status: str
    reason: str
    request_ts: float
    at_ts: float
    origin: int
    destination: int
    ride_type: int
    driver_id: int
    served_driver_id: int
    quoted_s: float
    policy: str
    propensity: float
    received_ts: float

    @property
    def event_id(self) -> str:
        return f"{self.quote_id}:{self.status}"

    @property
    def event_ts(self) -> float:
        return self.received_ts

    @property
    def key(self) -> str:
        return str(self.quote_id)


@dataclass(frozen=True)
class Traversals:
    """An upload of a vehicle: the edges that it drove, the times at which it entered them, and the seconds on each.

    `number` counts the uploads of a trip from 0. An upload has at most `MOST_EDGES` edges. All uploads of a trip are on
    one partition, so every consumer sees the same copy of an upload first, even if another copy names another vehicle.
    """

    SCHEMA: ClassVar[str] = "eta.traversals"
    VERSION: ClassVar[int] = 1

    vehicle_id: int
    trip_id: int
    number: int
    driver_id: int
    edges: Sequence[int]
    enter_ts: Sequence[float]
    seconds: Sequence[float]
    received_ts: float

    @property
    def event_id(self) -> str:
        return f"{self.trip_id}:{self.number}"

    @property
    def event_ts(self) -> float:
        return self.received_ts

    @property
    def key(self) -> str:
        return str(self.trip_id)


@dataclass(frozen=True)
class Incident:
    """An incident is reported, or, with `cleared_ts` > 0, cleared. Both events repeat all fields."""

    SCHEMA: ClassVar[str] = "eta.incident"
    VERSION: ClassVar[int] = 1

    incident_id: int
    edge: int
    begin_ts: float
    reported_ts: float
    cleared_ts: float
    received_ts: float

    @property
    def is_cleared(self) -> bool:
        return self.cleared_ts > 0

    @property
    def event_id(self) -> str:
        return f"{self.incident_id}:{'cleared' if self.is_cleared else 'reported'}"

    @property
    def event_ts(self) -> float:
        return self.received_ts

    @property
    def key(self) -> str:
        return str(self.incident_id)


@dataclass(frozen=True)
class Weather:
    """Rain in the city (0 to 1) from `at_ts` on, as observed then."""

    SCHEMA: ClassVar[str] = "eta.weather"
    VERSION: ClassVar[int] = 1

    at_ts: float
    rain: float
    received_ts: float

    @property
    def event_id(self) -> str:
        return f"{self.at_ts:.3f}"

    @property
    def event_ts(self) -> float:
        return self.received_ts

    @property
    def key(self) -> str:
        return "city"


@dataclass(frozen=True)
class SpeedsMade:
    """The worker has written state `speeds_id` of the roads, as of `made_ts`, to `file` of the live directory.

    `probes` is the decayed number of traversals behind it. `late` is the number of late traversals since the last state
    (`worker.append_log.LATE_S`).
    """

    SCHEMA: ClassVar[str] = "eta.speeds"
    VERSION: ClassVar[int] = 1

    speeds_id: int
    made_ts: float
    file: str
    probes: float
    late: int

    @property
    def event_id(self) -> str:
        return str(self.speeds_id)

    @property
    def event_ts(self) -> float:
        return self.made_ts

    @property
    def key(self) -> str:
        return "city"
