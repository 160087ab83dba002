"""HTTP for the feed: the request and response documents, and the composition root. Nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, Any

import orjson
from fastapi import Body, FastAPI, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from feed_ranking.config import PRESETS, FeedConfig
from feed_ranking.design import DESIGN
from feed_ranking.domain import FeedQuery
from feed_ranking.live import CatalogueFull, NewPost
from feed_ranking.online.pipeline import FeedBootstrap, FeedService
from infra.faults.switch import FaultSwitch
from infra.pipeline.runner import Outcome
from infra.registry.release import Release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.serving.admission import Admission
from infra.serving.app import ASK_RESPONSES, ServiceCore, create_service, nothing_to_serve
from infra.serving.problems import problem
from infra.serving.schemas import StageOut, StrictModel, knobs_model
from infra.serving.slot import ReleaseSlot
from infra.settings import Settings
from infra.telemetry.metrics import ServiceMetrics

MAX_ID = 2**53 - 1
"""Largest integer that every JSON reader keeps exact."""

Id = Annotated[int, Field(ge=0, le=MAX_ID)]
FeedKnobs = knobs_model("FeedKnobs", DESIGN.knobs("small"))


class FeedRequest(StrictModel):
    """Ask for a slate of `k` posts for one user."""

    user_id: Id = Field(description="an unknown user gets the cold-start slate", examples=[7])
    k: int = Field(20, ge=1, le=200, description="length of the slate", examples=[10])
    seen: list[Id] = Field(default_factory=list, max_length=2000, description="posts that must not be shown again")
    seed: int | None = Field(None, ge=0, le=MAX_ID, description="repeats the random choices of an earlier answer")
    knobs: FeedKnobs = Field(  # type: ignore[valid-type]
        default_factory=FeedKnobs,
        description="request-time knobs; /v1/design explains them",
        examples=[{"creator_cap": 2}],
    )


class SlateItemOut(BaseModel):
    """A post, or an ad: then `ad_id` is set and the fields of a post are null."""

    position: int
    post_id: int | None
    creator_id: int | None
    topic: int | None
    ad_id: int | None
    score: float = Field(description="expected seconds of attention if the user looks at it")
    propensity: float = Field(description="probability of this item in this place, given those above it")
    explored: bool = Field(description="chosen to find out about a new creator")
    sources: list[str] = Field(description="which candidate sources found it")


class FeedResponse(BaseModel):
    """A slate. `degraded` is empty when every part answered; `seed` repeats its random choices."""

    slate: list[SlateItemOut]
    model_version: str = Field(examples=["feed_ranking-small/1"])
    is_cold_start: bool = Field(description="answered as for a user of whom nothing is known")
    degraded: list[str] = Field(examples=[[]])
    seed: int
    trace: list[StageOut] | None = Field(None, description="with ?explain=true")


class PostIn(StrictModel):
    """A post that was just published, with what a content model saw of it."""

    post_id: Id
    creator_id: Id
    topic: int = Field(ge=0, le=1000)
    media: int = Field(0, ge=0, le=2, description="0 photo, 1 carousel, 2 video")
    quality_signal: float = Field(0.0, ge=-10, le=10, allow_inf_nan=False)
    bait_signal: float = Field(0.0, ge=-10, le=10, allow_inf_nan=False)


class PostsIn(StrictModel):
    """Posts that the next request may already rank."""

    posts: list[PostIn] = Field(min_length=1, max_length=500)


class PostsOut(BaseModel):
    added: int = Field(description="how many were new")
    visible: int = Field(description="how many posts can be candidates now")


EXAMPLES: dict[str, Any] = {
    "known user": {"value": {"user_id": 7, "k": 10}},
    "unknown user": {"value": {"user_id": 999999, "k": 5}},
    "clicks only": {"value": {"user_id": 7, "k": 10, "knobs": {"click_weight": 1, "dwell_weight": 0}}},
    "one post per creator": {"value": {"user_id": 7, "k": 10, "knobs": {"creator_cap": 1}}},
}


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI factory. Without `settings` it reads them from the environment."""
    settings = settings or Settings()
    config: FeedConfig = PRESETS[settings.preset]
    metrics = ServiceMetrics(DESIGN)
    breaker = CircuitBreaker("feature_store", open_s=config.serve.breaker_open_s)
    faults = FaultSwitch()
    bulkhead = Bulkhead("feature_store", workers=config.serve.workers, queue=config.serve.workers)
    bootstrap = FeedBootstrap(settings, config, breaker, bulkhead, faults, metrics.feature_age.observe)

    def load(release: Release) -> FeedService:
        service = bootstrap.load(release, without_damaged=slot.value is None)
        metrics.serving(release.model_name, release.model_version, release.released_ts)
        return service

    slot = ReleaseSlot(
        settings.design_root(DESIGN.name),
        load,
        swapped=lambda ok: metrics.swaps.labels("ok" if ok else "refused").inc(),
        may_wait=settings.wait_for_release,
    )
    admission = Admission(workers=config.serve.workers, queue=config.serve.queue)
    core = ServiceCore(
        DESIGN,
        settings,
        slot,
        metrics,
        admission,
        {"feature_store": breaker},
        faults,
        config.serve.max_body_kb * 1000,
    )

    def add_routes(app: FastAPI) -> None:
        add_feed(app, slot, metrics, admission)
        add_posts(app, slot, bootstrap, admission)

    return create_service(core, add_routes, version("ml-system-design-lab"))


def add_feed(app: FastAPI, slot: ReleaseSlot[FeedService], metrics: ServiceMetrics, admission: Admission) -> None:
    """Add `POST /v1/feed`."""

    @app.post(
        DESIGN.ask.path, tags=["feed"], summary="Rank a feed", response_model=FeedResponse, responses=ASK_RESPONSES
    )
    async def feed(
        request: Request,
        body: Annotated[FeedRequest, Body(openapi_examples=EXAMPLES)],
        explain: Annotated[bool, Query(description="add the trace of the request")] = False,
    ) -> Response:
        service = slot.value
        if service is None:
            return nothing_to_serve(slot.last_error)
        knobs: Mapping[str, Any] = body.knobs.model_dump(exclude_none=True)  # type: ignore[attr-defined]
        query = service.query(body.user_id, body.k, body.seen, knobs, body.seed)
        outcome = await admission.run(lambda: service.answer(query))
        metrics.observe(outcome.trace)
        request.scope["state"]["degraded"] = outcome.degraded
        return Response(
            orjson.dumps(document(service, outcome, explain=explain)),
            media_type="application/json",
            headers={"Server-Timing": outcome.trace.server_timing()},
        )


def add_posts(app: FastAPI, slot: ReleaseSlot[FeedService], bootstrap: FeedBootstrap, admission: Admission) -> None:
    """Add `POST /v1/posts`."""

    @app.post(
        "/v1/posts",
        tags=["feed"],
        summary="Publish posts",
        response_model=PostsOut,
        responses=ASK_RESPONSES,
    )
    async def posts(body: PostsIn) -> Response:
        service = slot.value
        if service is None:
            return nothing_to_serve(slot.last_error)
        topics = service.bundle.priors.topics
        if unknown := [post.topic for post in body.posts if post.topic >= topics]:
            return problem(422, f"topic {unknown[0]} does not exist; topics are 0 to {topics - 1}")
        new = [NewPost(**post.model_dump(), published_ts=service.clock.now()) for post in body.posts]
        try:
            added = await admission.run(lambda: bootstrap.publish(service, new))
        except CatalogueFull as exc:
            return problem(503, str(exc), headers={"Retry-After": "60"})
        return Response(
            orjson.dumps({"added": added, "visible": len(service.catalogue)}), media_type="application/json"
        )


def document(service: FeedService, outcome: Outcome[FeedQuery], *, explain: bool) -> dict[str, Any]:
    """The response body, in the shape of `FeedResponse`. orjson writes dataclasses by itself, and faster."""
    body: dict[str, Any] = {
        "slate": service.items(outcome),
        "model_version": service.model_version,
        "is_cold_start": outcome.query.is_cold,
        "degraded": outcome.degraded,
        "seed": outcome.query.seed,
    }
    if explain:
        body["trace"] = outcome.trace.stages
    return body
