"""The request and response documents of quotes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from eta_prediction.design import DESIGN
from eta_prediction.online.snap import Place
from infra.serving.event_intake import MAX_ID, Id
from infra.serving.schemas import StageOut, StrictModel, knobs_model

MOST_PAIRS = 500
MOST_ROUTES = 3
RideType = Literal["standard", "pooled", "airport"]
EtaKnobs = knobs_model("EtaKnobs", DESIGN.knobs("small"))


class PlaceIn(StrictModel):
    """A point in degrees (WGS 84), or a node of the road graph."""

    lon: float | None = Field(None, ge=-180, le=180, allow_inf_nan=False, examples=[10.01])
    lat: float | None = Field(None, ge=-90, le=90, allow_inf_nan=False, examples=[50.02])
    node: Id | None = Field(None, description="the number of a node, in place of a point")

    @model_validator(mode="after")
    def _check_one(self) -> PlaceIn:
        has_point = self.lon is not None and self.lat is not None
        if has_point == (self.node is not None) or (self.lon is None) != (self.lat is None):
            raise ValueError("a place is either lon and lat, or a node")
        return self

    def place(self) -> Place:
        if self.node is not None:
            return self.node
        assert self.lon is not None
        assert self.lat is not None
        return self.lon, self.lat


class TripIn(StrictModel):
    """The fields that one quote and a batch share."""

    departure: str | None = Field(
        None,
        max_length=40,
        description="ISO 8601; without an offset it is on the city's clocks; by default now",
        examples=["2026-02-02T08:30:00+01:00"],
    )
    ride_type: RideType = "standard"


class EtaRequest(TripIn):
    """Request for the time of one trip."""

    origin: PlaceIn = Field(examples=[{"node": 120}])
    destination: PlaceIn = Field(examples=[{"node": 900}])
    rider_id: Id | None = Field(
        None, description="the rider; during a rollout of a model, one rider gets the quotes of one model"
    )
    driver_id: Id | None = Field(None, description="the driver, once one is assigned; an unknown one has the defaults")
    seed: int | None = Field(None, ge=0, le=MAX_ID, description="repeats the random choices of an earlier response")
    routes: Annotated[int, Field(ge=1, le=MOST_ROUTES)] = Field(
        1, description="number of routes in the answer: the quoted one, then alternatives"
    )
    knobs: EtaKnobs = Field(  # type: ignore[valid-type]
        default_factory=EtaKnobs,
        description="request-time knobs; /v1/design describes them",
        examples=[{"found_with": "profile"}],
    )


class BatchRequest(TripIn):
    """Request for the times from many drivers to one rider."""

    origins: list[PlaceIn] = Field(min_length=1, max_length=MOST_PAIRS)
    destination: PlaceIn
    paths: bool = Field(
        False, description="true: route, inputs and model for every pair; false: the corrected route time alone"
    )
    knobs: EtaKnobs = Field(  # type: ignore[valid-type]
        default_factory=EtaKnobs,
        description="request-time knobs; /v1/design describes them",
        examples=[{"found_with": "profile"}],
    )


class RouteOut(BaseModel):
    """One route. All routes are timed with the same traffic, whatever they were found with."""

    found_with: str = Field(description="live, profile or distance: what the route is best for")
    minutes: float = Field(description="driving time with the traffic of now, before the model corrects it")
    distance_km: float
    is_quoted: bool


class EtaResponse(BaseModel):
    """A quote. The actual time lies between `p10_min` and `p90_min` in 80 of 100 trips. `degraded` lists the reasons
    for a degraded response."""

    quote_id: int = Field(description="id of this response; events about the trip must include the id")
    quoted_min: float
    p10_min: float
    p50_min: float
    p90_min: float
    distance_km: float
    departure: str = Field(description="ISO 8601, on the city's clocks")
    arrival: str = Field(description="departure plus quoted_min")
    routes: list[RouteOut]
    route: dict[str, Any] = Field(description="the quoted route as a GeoJSON LineString; empty without a road graph")
    edges: list[int] = Field(description="the quoted route as numbers of edges")
    route_source: str = Field(description="live, profile, or great_circle without an engine")
    speeds_id: int = Field(description="the traffic snapshot; 0 for none")
    speeds_age_s: float | None
    model: str = Field(description="model that answered: network_live, boosters_static, corrected_route …")
    model_version: str = Field(examples=["eta_prediction-small/1"])
    is_cold_start: bool = Field(description="true if the driver is not known")
    degraded: list[str] = Field(examples=[[]])
    policy: str = Field(description="policy that chose the quote: eta_v1, or explore_v1 in the randomised bucket")
    propensity: float
    seed: int
    request_ts: float = Field(description="world time of the request, in seconds since the epoch, UTC")
    departure_ts: float
    trace: list[StageOut] | None = Field(None, description="with ?explain=true")


class BatchResponse(BaseModel):
    """The times of a batch, in the order of its origins; null where no road leads to the destination."""

    quoted_min: list[float | None]
    p10_min: list[float | None]
    p90_min: list[float | None]
    route_source: str
    model: str
    model_version: str
    speeds_id: int
    speeds_age_s: float | None
    degraded: list[str]


EXAMPLES: dict[str, Any] = {
    "two nodes": {"value": {"origin": {"node": 120}, "destination": {"node": 900}}},
    "points": {"value": {"origin": {"lon": 10.0, "lat": 50.0}, "destination": {"lon": 10.01, "lat": 50.01}}},
    "a driver, three routes": {
        "value": {"origin": {"node": 120}, "destination": {"node": 900}, "driver_id": 7, "routes": 3}
    },
    "later today, pooled": {
        "value": {
            "origin": {"node": 120},
            "destination": {"node": 900},
            "departure": "2026-02-02T08:30",
            "ride_type": "pooled",
        }
    },
}
