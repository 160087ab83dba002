"""Request and response bodies that all services share, as documented by OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from infra.design import Knob


class StrictModel(BaseModel):
    """A model that rejects unknown fields and wrong types instead of converting them."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StageOut(BaseModel):
    """One stage of one request. Counts are numbers of candidates."""

    stage: str
    name: str
    time_ms: float
    count_in: int
    count_out: int
    removed: dict[str, int] = Field(description="reason -> number of candidates that the stage removed")
    degraded: str = Field(description="reason, empty when healthy")
    detail: str


class Health(BaseModel):
    status: str = Field(examples=["ok"])


class Ready(BaseModel):
    """Readiness; 503 until a release is loaded. A failed dependency that only degrades responses keeps the service
    ready."""

    status: str = Field(examples=["ready"])
    model_version: str = Field("", examples=["feed_ranking-small/1"])
    breakers: dict[str, str] = Field(default_factory=dict, examples=[{"feature_store": "closed"}])
    registry: str = Field("", description="whether the model registry answers; serving does not need it")
    stream: str = Field("", description="whether the event stream answers; serving does not need it")
    refused_release: str = Field("", description="why a newer release is not being served, empty if there is none")
    challenger: str = Field("", description="version, stage and share of users of a rollout's challenger")


class AlertOut(BaseModel):
    """An alert that fires for this design, or for the platform."""

    name: str = Field(examples=["FeatureStoreDown"])
    severity: str = Field(examples=["page"])
    summary: str
    action: str
    starts_ts: float = Field(description="seconds since the epoch, UTC")


class AlertsOut(BaseModel):
    """`is_current` is false if no monitor runs: the list then shows the last known alerts."""

    is_current: bool
    active: list[AlertOut]


class FaultIn(StrictModel):
    fault: str = Field(max_length=40, examples=["down"])
    delay_s: float = Field(
        0.1, ge=0, le=10, allow_inf_nan=False, description="delay per call, for faults that slow a port down"
    )


class FaultOut(BaseModel):
    port: str
    fault: str
    title: str
    active: bool


def knobs_model(name: str, knobs: tuple[Knob, ...]) -> type[StrictModel]:
    """Create a model with one optional field per request-time knob. Each field has the range of its knob."""
    fields: dict[str, Any] = {}
    for knob in knobs:
        if knob.per_request and knob.choices:
            text = f"default {knob.default}; {knob.trades}"
            fields[knob.name] = (Literal[knob.choices] | None, Field(None, description=text))
        elif knob.per_request:
            kind = int if knob.is_integer else float
            bounds: dict[str, Any] = {"ge": knob.low, "le": knob.high}
            if kind is float:
                bounds["allow_inf_nan"] = False
            text = f"{knob.unit or 'number'}, default {knob.default}; {knob.trades}"
            fields[knob.name] = (kind | None, Field(None, description=text, **bounds))
    model: type[StrictModel] = create_model(name, __base__=StrictModel, **fields)
    return model


def knobs_set(knobs: BaseModel) -> Mapping[str, Any]:
    """The knobs that a request sets. Most set none, and walking all fields of the model takes time."""
    return knobs.model_dump(exclude_none=True) if knobs.model_fields_set else {}
