"""HTTP for the ads: the request and response documents of an auction, its endpoint, and the app."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import orjson
from fastapi import Body, FastAPI, Query, Request
from pydantic import BaseModel, Field, model_validator
from starlette.responses import Response
from starlette.types import ASGIApp

from ctr_prediction.design import DESIGN
from ctr_prediction.domain import SLOTS, AdQuery
from ctr_prediction.events.paths import LIVE, end_of_log
from ctr_prediction.events.schemas import TOPICS, topics
from ctr_prediction.items.live_counts import FILE as STATS_FILE
from ctr_prediction.items.live_counts import LiveStats
from ctr_prediction.online.bootstrap import CtrBootstrap
from ctr_prediction.online.cache import CacheMetrics
from ctr_prediction.online.event_api import Price, add_intake
from ctr_prediction.online.log_entry import auction_of, shadow_auction
from ctr_prediction.online.schemas import DEVICE_OF, ContextIn, CtrKnobs, no_such_ad
from ctr_prediction.online.score_api import add_score
from ctr_prediction.online.service import CtrService
from infra.live.live_arrays import ArraysWatcher
from infra.pipeline.runner import Outcome
from infra.serving.admission import Admission
from infra.serving.app import ASK_RESPONSES, no_release
from infra.serving.event_intake import MAX_ID, Id
from infra.serving.schemas import StageOut, StrictModel, knobs_set
from infra.serving.serve import make_parts, open_slot, serve, shadow_of
from infra.serving.shadow import Shadow
from infra.serving.slot import ReleaseSlot
from infra.settings import Settings
from infra.stream.producer import EventProducer
from infra.telemetry.metrics import ServiceMetrics

COUNTED = (TOPICS.auctions, TOPICS.impressions, TOPICS.clicks)
MOST_ADS = 1000


class CandidateIn(StrictModel):
    """A candidate ad, with an optional bid per click that overrides its campaign's bid."""

    ad_id: Id
    bid: Price | None = None


class RankRequest(StrictModel):
    """Request for an auction of `slots` for one user."""

    user_id: Id = Field(description="an unknown user gets the default features", examples=[7])
    context: ContextIn = Field(default_factory=ContextIn)
    slots: int = Field(SLOTS, ge=1, le=SLOTS, description="number of slots on the page", examples=[3])
    candidates: list[CandidateIn] | None = Field(
        None, min_length=1, max_length=MOST_ADS, description="ads that may bid; by default all that target the user"
    )
    exclude: list[Id] = Field(default_factory=list, max_length=MOST_ADS, description="ads that must not be shown")
    seed: int | None = Field(None, ge=0, le=MAX_ID, description="repeats the random choices of an earlier response")
    knobs: CtrKnobs = Field(  # type: ignore[valid-type]
        default_factory=CtrKnobs,
        description="request-time knobs; /v1/design describes them",
        examples=[{"reserve_cpm": 5.0}],
    )

    @model_validator(mode="after")
    def _check_unique(self) -> RankRequest:
        if self.candidates is not None and len({item.ad_id for item in self.candidates}) < len(self.candidates):
            raise ValueError("the candidates contain an ad twice; each ad may bid only once")
        return self


class WonOut(BaseModel):
    """A filled slot."""

    slot: int
    ad_id: int
    campaign_id: int
    creative_id: int
    p_click: float = Field(description="probability of a click in this slot")
    bid: float = Field(description="bid of the campaign per click, in money")
    ecpm: float = Field(description="expected revenue of 1,000 such impressions at the bid")
    price: float = Field(description="price of a click: the lowest that keeps the place")
    propensity: float = Field(
        description="probability that the policy chooses this ad for this slot, given the ads above"
    )
    seen: int = Field(description="number of earlier impressions of the ad by this user, as the service counts them")


class RankResponse(BaseModel):
    """The slate of an auction, without empty slots. `degraded` lists the reasons for a degraded response; a request
    with this `seed` repeats its random choices."""

    slate: list[WonOut]
    model_version: str = Field(examples=["ctr_prediction-small/1"])
    is_cold_start: bool = Field(description="true if the user has no features in the store")
    degraded: list[str] = Field(examples=[[]])
    feature_age_s: float = Field(description="seconds since the user's features were read from the store")
    bidders: int = Field(description="number of scored ads")
    seed: int
    auction_id: int = Field(description="id of this response; events about it must include the id")
    policy: str = Field(description="policy that filled the slots: auction_v2, or uniform_v1 in the randomised bucket")
    request_ts: float = Field(description="world time of the request, in seconds since the epoch, UTC")
    trace: list[StageOut] | None = Field(None, description="with ?explain=true")


EXAMPLES: dict[str, Any] = {
    "known user": {"value": {"user_id": 7, "slots": 3, "context": {"publisher_id": 2, "device": "phone"}}},
    "unknown user": {"value": {"user_id": 999999, "slots": 2}},
    "the teacher": {"value": {"user_id": 7, "slots": 3, "knobs": {"model": "teacher"}}},
    "without recalibration": {"value": {"user_id": 7, "knobs": {"calibrated": "no_recalibration"}}},
    "two ads against each other": {
        "value": {"user_id": 7, "slots": 1, "candidates": [{"ad_id": 1, "bid": 2.0}, {"ad_id": 5}]}
    },
}


def create_app(settings: Settings | None = None) -> ASGIApp:
    """The ASGI factory. Reads `settings` from the environment if they are None."""
    settings = settings or Settings()
    live = settings.design_root(DESIGN.name) / LIVE
    parts = make_parts(DESIGN, settings, live, STATS_FILE, topics(), COUNTED)
    bootstrap = CtrBootstrap(parts.shared, parts.config, CacheMetrics(parts.metrics.registry))
    slot = open_slot(parts, bootstrap, end_of_log)

    shadow = shadow_of(parts, slot, TOPICS.auctions)

    async def quick(state: dict[str, Any], body: RankRequest) -> Response:
        return await auction_response(slot, parts.metrics, parts.admission, parts.producer, shadow, state, body)

    def follow_stats(stats: LiveStats) -> None:
        for service in slot.values:
            bootstrap.count(service, stats)

    def add_routes(app: FastAPI) -> None:
        add_rank(app, slot, parts.metrics, parts.admission, parts.producer, shadow)
        add_score(app, slot, parts.admission)
        add_intake(app, slot, parts.producer, parts.intake)

    followers = (ArraysWatcher(live / STATS_FILE, LiveStats.read, follow_stats), shadow)
    return serve(parts, slot, add_routes, followers=followers, quick=(RankRequest, quick))


def add_rank(
    app: FastAPI,
    slot: ReleaseSlot[CtrService],
    metrics: ServiceMetrics,
    admission: Admission,
    producer: EventProducer,
    shadow: Shadow,
) -> None:
    """Add `POST /v1/ads/rank`."""

    @app.post(
        DESIGN.ask.path, tags=["ads"], summary="Run an auction", response_model=RankResponse, responses=ASK_RESPONSES
    )
    async def rank(
        request: Request,
        body: Annotated[RankRequest, Body(openapi_examples=EXAMPLES)],
        explain: Annotated[bool, Query(description="add the trace of the request")] = False,
    ) -> Response:
        state = request.scope["state"]
        return await auction_response(slot, metrics, admission, producer, shadow, state, body, explain=explain)


async def auction_response(
    slot: ReleaseSlot[CtrService],
    metrics: ServiceMetrics,
    admission: Admission,
    producer: EventProducer,
    shadow: Shadow,
    state: dict[str, Any],
    body: RankRequest,
    *,
    explain: bool = False,
) -> Response:
    """Handle a request for an auction."""
    service = slot.value_for(body.user_id)
    if service is None:
        return no_release(slot.last_error)
    state["model"] = service.model_version
    named = body.candidates or []
    if unknown := service.unknown([item.ad_id for item in named]):
        return no_such_ad(unknown)
    query = service.query(
        body.user_id,
        body.context.publisher_id,
        DEVICE_OF[body.context.device],
        body.slots,
        knobs_set(body.knobs),
        seed=body.seed,
        exclude=body.exclude,
        candidates=np.array([item.ad_id for item in named], np.int64) if named else None,
        bids={item.ad_id: item.bid for item in named if item.bid is not None},
    )
    outcome = await admission.run_async(lambda: service.answer_soon(query))
    metrics.observe(outcome.trace)
    state["degraded"] = outcome.degraded
    producer.hand_over(TOPICS.auctions, auction_of(service, outcome))
    shadow.offer(lambda challenger: shadow_auction(challenger, query))
    return Response(
        orjson.dumps(document(service, outcome, explain=explain)),
        media_type="application/json",
        headers={"Server-Timing": outcome.trace.server_timing()},
    )


def document(service: CtrService, outcome: Outcome[AdQuery], *, explain: bool) -> dict[str, Any]:
    """The response body, with the fields of `RankResponse`. orjson encodes dataclasses faster than Pydantic does."""
    query = outcome.query
    body: dict[str, Any] = {
        "slate": service.slots_won(outcome),
        "model_version": service.model_version,
        "is_cold_start": query.is_cold,
        "degraded": outcome.degraded,
        "feature_age_s": round(query.feature_age_s, 3),
        "bidders": len(outcome.ranked),
        "seed": query.seed,
        "auction_id": query.auction_id,
        "policy": query.policy,
        "request_ts": query.now_ts,
    }
    if explain:
        body["trace"] = outcome.trace.stages
    return body
