"""HTTP for the feed's events: publishes posts, impressions and reactions to the stream.

Consumers deduplicate posts by id, and impressions and reactions by slate and position. A post may be sent again. A post
with the id of another post is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Path
from pydantic import BaseModel, Field
from starlette.responses import Response

from feed_ranking.events.schemas import MAX_PLACES, TOPICS, Impression, PostPublished, Reaction
from feed_ranking.items.catalog import NewPost
from feed_ranking.online.service import FeedService
from infra.serving.admission import Admission
from infra.serving.app import ASK_RESPONSES, PROBLEM, no_release
from infra.serving.event_intake import MAX_ID, Accepted, Id, accept, add_clock, refuse_future
from infra.serving.problems import problem
from infra.serving.schemas import StrictModel
from infra.serving.slot import ReleaseSlot
from infra.stream.producer import EventProducer

MAX_SLATE = 2**52 - 1
LONGEST_DWELL_S = 86_400.0

IdOrNone = Annotated[int, Field(ge=-1, le=MAX_ID)]


class PostIn(StrictModel):
    """A newly published post, with the signals of a content model."""

    post_id: Id
    creator_id: Id
    topic: int = Field(ge=0, le=1000)
    media: int = Field(0, ge=0, le=2, description="0 photo, 1 carousel, 2 video")
    quality_signal: float = Field(0.0, ge=-10, le=10, allow_inf_nan=False)
    bait_signal: float = Field(0.0, ge=-10, le=10, allow_inf_nan=False)


class PostsIn(StrictModel):
    """Newly published posts. They become candidates within seconds."""

    posts: list[PostIn] = Field(min_length=1, max_length=500)


class ImpressionIn(StrictModel):
    """An item shown on the screen, with its fields as in the slate. `depth` and `creator_before` count items of the
    session."""

    session_id: Id
    slate_id: int = Field(ge=0, le=MAX_SLATE)
    user_id: Id
    post_id: IdOrNone = Field(description="-1 for an ad")
    creator_id: IdOrNone
    ad_id: IdOrNone = Field(description="-1 for a post")
    position: int = Field(ge=0, lt=MAX_PLACES)
    depth: int = Field(ge=0, le=1_000_000)
    creator_before: int = Field(ge=0, le=1_000_000)
    policy: str = Field(max_length=40)
    propensity: float = Field(ge=0, le=1, allow_inf_nan=False)
    request_ts: float = Field(ge=0, allow_inf_nan=False, description="request_ts of the slate")


class ReactionIn(ImpressionIn):
    """The label of an impression, positive or negative."""

    clicked: bool
    liked: bool = False
    commented: bool = False
    dwell_s: float = Field(0.0, ge=0, le=LONGEST_DWELL_S, allow_inf_nan=False)
    left: bool = Field(False, description="true if the session ended after this item")


class EventsIn(StrictModel):
    impressions: list[ImpressionIn] = Field(default_factory=list, max_length=500)
    reactions: list[ReactionIn] = Field(default_factory=list, max_length=500)


class PostOut(BaseModel):
    """A post that can be a candidate in this service."""

    post_id: int
    creator_id: int
    topic: int
    published_ts: float


def add_intake(app: FastAPI, slot: ReleaseSlot[FeedService], producer: EventProducer, intake: Admission) -> None:
    """Add `POST /v1/posts`, `GET /v1/posts/{post_id}`, `POST /v1/events` and `GET /v1/clock`."""
    add_clock(app, slot)

    @app.post(
        "/v1/posts", tags=["events"], summary="Publish posts", status_code=202, response_model=Accepted,
        responses={**ASK_RESPONSES, 409: PROBLEM},
    )  # fmt: skip
    async def posts(body: PostsIn) -> Response:
        service = slot.value
        if service is None:
            return no_release(slot.last_error)
        topics = service.bundle.priors.topics
        if unknown := [post.topic for post in body.posts if post.topic >= topics]:
            return problem(422, f"topic {unknown[0]} does not exist; topics are 0 to {topics - 1}")
        now = service.clock.now()
        new = [PostPublished(**post.model_dump(), published_ts=now) for post in body.posts]
        if refused := refusal(service, new):
            return problem(409, refused)
        return await accept([(TOPICS.posts, post) for post in new], producer, intake)

    @app.get(
        "/v1/posts/{post_id}", tags=["events"], summary="Read a candidate post", response_model=PostOut,
        responses={404: PROBLEM, 422: PROBLEM, 503: PROBLEM},
    )  # fmt: skip
    async def post(post_id: Annotated[int, Path(ge=0, le=MAX_ID)]) -> Response:
        service = slot.value
        if service is None:
            return no_release(slot.last_error)
        found = service.known_post(post_id)
        if found is None:
            return problem(404, f"post {post_id} is not among the candidates of this service")
        return Response(orjson.dumps(found), media_type="application/json")

    @app.post(
        "/v1/events", tags=["events"], summary="Publish impressions and reactions", status_code=202,
        response_model=Accepted, responses=ASK_RESPONSES,
    )  # fmt: skip
    async def events(body: EventsIn) -> Response:
        service = slot.value
        if service is None:
            return no_release(slot.last_error)
        now = service.clock.now()
        if late := refuse_future((*body.impressions, *body.reactions), now):
            return late
        wrong = [item for item in (*body.impressions, *body.reactions) if (item.post_id >= 0) == (item.ad_id >= 0)]
        if wrong:
            return problem(422, "an item is a post or an ad: set post_id or ad_id, and set the other to -1")
        found: list[tuple[str, Any]] = [
            (TOPICS.impressions, Impression(**item.model_dump(), seen_ts=now)) for item in body.impressions
        ]
        found += [
            (TOPICS.reactions, Reaction(**item.model_dump(), seen_ts=now, label_ts=now)) for item in body.reactions
        ]
        return await accept(found, producer, intake)


def refusal(service: FeedService, posts: Sequence[PostPublished]) -> str:
    """The reason why a post cannot have its id, or the empty string: another post has the id."""
    first: dict[int, PostPublished] = {}
    for post in posts:
        if first.setdefault(post.post_id, post) != post:
            return f"the request has two posts with the id {post.post_id}; choose another id"
        if reason := service.catalogue.refusal(NewPost(**vars(post))):
            return reason
    return ""
