"""HTTP for the feed: the request and response documents, the endpoint, and the app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import Body, FastAPI, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response
from starlette.types import ASGIApp

from feed_ranking.design import DESIGN
from feed_ranking.domain import FeedQuery
from feed_ranking.events.paths import LIVE, end_of_log
from feed_ranking.events.schemas import TOPICS, PostPublished, topics
from feed_ranking.items.catalog import NewPost
from feed_ranking.items.live_counts import FILE as STATS_FILE
from feed_ranking.items.live_counts import LiveStats
from feed_ranking.online.bootstrap import FeedBootstrap
from feed_ranking.online.cut import TOO_DEEP
from feed_ranking.online.event_api import add_intake
from feed_ranking.online.log_entry import prediction_of, shadow_prediction
from feed_ranking.online.service import FeedService
from infra.faults.planted import PlantedWatch
from infra.live.live_arrays import ArraysWatcher
from infra.pipeline.runner import Outcome
from infra.pipeline.trace import Trace
from infra.serving.admission import Admission
from infra.serving.app import ASK_RESPONSES, no_release
from infra.serving.event_intake import MAX_ID, Id
from infra.serving.schemas import StageOut, StrictModel, knobs_model, knobs_set
from infra.serving.serve import make_parts, open_slot, serve, shadow_of
from infra.serving.shadow import Shadow
from infra.serving.slot import ReleaseSlot
from infra.settings import Settings
from infra.stream.event import Codec
from infra.stream.follower import EventFollower
from infra.stream.producer import EventProducer
from infra.telemetry.metrics import ServiceMetrics

COUNTED = (TOPICS.predictions, TOPICS.impressions, TOPICS.reactions)
FeedKnobs = knobs_model("FeedKnobs", DESIGN.knobs("small"))


class FeedRequest(StrictModel):
    """Request for a slate of `k` posts for one user."""

    user_id: Id = Field(description="an unknown user gets the cold-start slate", examples=[7])
    k: int = Field(20, ge=1, le=200, description="length of the slate", examples=[10])
    seen: list[Id] = Field(default_factory=list, max_length=2000, description="posts that must not be shown again")
    seed: int | None = Field(None, ge=0, le=MAX_ID, description="repeats the random choices of an earlier response")
    knobs: FeedKnobs = Field(  # type: ignore[valid-type]
        default_factory=FeedKnobs,
        description="request-time knobs; /v1/design describes them",
        examples=[{"creator_cap": 2}],
    )


class SlateItemOut(BaseModel):
    """A post or an ad. For an ad, `ad_id` is set and the post fields are null."""

    position: int
    post_id: int | None
    creator_id: int | None
    topic: int | None
    ad_id: int | None
    score: float = Field(description="expected seconds of attention if the user examines the post")
    propensity: float = Field(
        description="probability that the policy chooses this item for this place, given the items above"
    )
    explored: bool = Field(description="true if exploration chose this post by a new creator")
    sources: list[str] = Field(description="candidate sources that retrieved the post")


class FeedResponse(BaseModel):
    """A slate. `degraded` lists the reasons for a degraded response; a request with this `seed` repeats its random
    choices."""

    slate: list[SlateItemOut]
    model_version: str = Field(examples=["feed_ranking-small/1"])
    is_cold_start: bool = Field(description="true if the user has no features in the store")
    degraded: list[str] = Field(examples=[[]])
    seed: int
    slate_id: int = Field(description="id of this response; events about it must include the id")
    policy: str = Field(description="policy that drew the slate: ranked_v1, or uniform_v1 in the randomised bucket")
    request_ts: float = Field(description="world time of the request, in seconds since the epoch, UTC")
    trace: list[StageOut] | None = Field(None, description="with ?explain=true")


EXAMPLES: dict[str, Any] = {
    "known user": {"value": {"user_id": 7, "k": 10}},
    "unknown user": {"value": {"user_id": 999999, "k": 5}},
    "clicks only": {"value": {"user_id": 7, "k": 10, "knobs": {"click_weight": 1, "dwell_weight": 0}}},
    "one post per creator": {"value": {"user_id": 7, "k": 10, "knobs": {"creator_cap": 1}}},
}


def create_app(settings: Settings | None = None) -> ASGIApp:
    """The ASGI factory. Reads `settings` from the environment if they are None."""
    settings = settings or Settings()
    live = settings.design_root(DESIGN.name) / LIVE
    parts = make_parts(DESIGN, settings, live, STATS_FILE, topics(), (TOPICS.posts, *COUNTED))
    planted = PlantedWatch(settings.design_root(DESIGN.name))
    of_host = {"shortcut": TOO_DEEP}
    bootstrap = FeedBootstrap(parts.shared, parts.config, of_host=lambda: of_host.get(planted.present(), {}))
    slot = open_slot(parts, bootstrap, end_of_log)

    shadow = shadow_of(parts, slot, TOPICS.predictions)

    def follow_posts(posts: Sequence[PostPublished]) -> None:
        bootstrap.publish(slot.values, [NewPost(**vars(post)) for post in posts])

    def follow_stats(stats: LiveStats) -> None:
        for service in slot.values:
            bootstrap.count(service, stats)

    async def quick(state: dict[str, Any], body: FeedRequest) -> Response:
        return await slate_response(slot, parts.metrics, parts.admission, parts.producer, shadow, state, body)

    def add_routes(app: FastAPI) -> None:
        add_feed(app, slot, parts.metrics, parts.admission, parts.producer, shadow)
        add_intake(app, slot, parts.producer, parts.intake)

    followers = (
        EventFollower(parts.find, {TOPICS.posts: Codec.of(PostPublished)}, follow_posts, parts.stream_metrics),
        ArraysWatcher(live / STATS_FILE, LiveStats.read, follow_stats),
        shadow,
    )
    return serve(parts, slot, add_routes, followers=followers, quick=(FeedRequest, quick))


def add_feed(
    app: FastAPI,
    slot: ReleaseSlot[FeedService],
    metrics: ServiceMetrics,
    admission: Admission,
    producer: EventProducer,
    shadow: Shadow,
) -> None:
    """Add `POST /v1/feed`."""

    @app.post(
        DESIGN.ask.path, tags=["feed"], summary="Rank a feed", response_model=FeedResponse, responses=ASK_RESPONSES
    )
    async def feed(
        request: Request,
        body: Annotated[FeedRequest, Body(openapi_examples=EXAMPLES)],
        explain: Annotated[bool, Query(description="add the trace of the request")] = False,
    ) -> Response:
        state = request.scope["state"]
        return await slate_response(slot, metrics, admission, producer, shadow, state, body, explain=explain)


async def slate_response(
    slot: ReleaseSlot[FeedService],
    metrics: ServiceMetrics,
    admission: Admission,
    producer: EventProducer,
    shadow: Shadow,
    state: dict[str, Any],
    body: FeedRequest,
    *,
    explain: bool = False,
) -> Response:
    """Handle a request for a slate."""
    service = slot.value_for(body.user_id)
    if service is None:
        return no_release(slot.last_error)
    state["model"] = service.model_version
    query = service.query(body.user_id, body.k, body.seen, knobs_set(body.knobs), body.seed)
    trace = Trace()
    outcome = await admission.run_after(
        lambda: service.user.read_before(query, trace), lambda read: service.answer(read, trace)
    )
    metrics.observe(outcome.trace)
    state["degraded"] = outcome.degraded
    producer.offer(TOPICS.predictions, lambda: prediction_of(service, outcome))
    shadow.offer(lambda challenger: shadow_prediction(challenger, query))
    return Response(
        orjson.dumps(document(service, outcome, explain=explain)),
        media_type="application/json",
        headers={"Server-Timing": outcome.trace.server_timing()},
    )


def document(service: FeedService, outcome: Outcome[FeedQuery], *, explain: bool) -> dict[str, Any]:
    """The response body, with the fields of `FeedResponse`. orjson encodes dataclasses faster than Pydantic does."""
    body: dict[str, Any] = {
        "slate": service.items(outcome),
        "model_version": service.model_version,
        "is_cold_start": outcome.query.is_cold,
        "degraded": outcome.degraded,
        "seed": outcome.query.seed,
        "slate_id": outcome.query.slate_id,
        "policy": outcome.query.policy,
        "request_ts": outcome.query.now_ts,
    }
    if explain:
        body["trace"] = outcome.trace.stages
    return body
