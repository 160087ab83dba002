"""`POST /v1/ads/score`: p(click) for given rows of user, ad and context, without an auction.

Rows with the same user and context are scored together. One read fetches all users that are not in the cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import orjson
from fastapi import Body, FastAPI, Query
from pydantic import BaseModel, Field, model_validator
from starlette.responses import Response

from ctr_prediction.domain import SLOTS
from ctr_prediction.online.schemas import DEVICE_OF, ContextIn, CtrKnobs, no_such_ad
from ctr_prediction.online.service import CtrService
from infra.pipeline.trace import Trace
from infra.resilience.deadline import Deadline
from infra.serving.admission import Admission
from infra.serving.app import ASK_RESPONSES, no_release
from infra.serving.event_intake import Id
from infra.serving.schemas import StageOut, StrictModel, knobs_set
from infra.serving.slot import ReleaseSlot

SCORE_PATH = "/v1/ads/score"
MOST_ROWS, MOST_PAGES = 500, 100
Page = tuple[int, int, int]
"""user, publisher, device"""


class RowIn(StrictModel):
    """A pair of user and ad, in a slot and a context."""

    user_id: Id = Field(description="an unknown user gets the default features", examples=[7])
    ad_id: Id = Field(examples=[1])
    context: ContextIn = Field(default_factory=ContextIn)
    slot: int = Field(0, ge=0, lt=SLOTS, description="slot of the ad, 0 is the top")

    @property
    def page(self) -> Page:
        return self.user_id, self.context.publisher_id, DEVICE_OF[self.context.device]


class ScoreRequest(StrictModel):
    """Request for click probabilities."""

    rows: list[RowIn] = Field(
        min_length=1, max_length=MOST_ROWS, description="rows to score; the response has the same order"
    )
    knobs: CtrKnobs = Field(default_factory=CtrKnobs)  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _check_page_count(self) -> ScoreRequest:
        pages = len({row.page for row in self.rows})
        if pages > MOST_PAGES:
            raise ValueError(f"{pages} different users and contexts; ask for at most {MOST_PAGES} at once")
        return self


class ScoreResponse(BaseModel):
    """Probabilities in the order of the rows. `degraded` lists the reasons for a degraded response to any row."""

    p_click: list[float] = Field(description="p(click) of each row in its slot")
    model_version: str = Field(examples=["ctr_prediction-small/1"])
    cold_users: list[int] = Field(description="users without features in the store, ordered by id")
    degraded: list[str] = Field(examples=[[]])
    feature_age_s: float = Field(description="seconds since the oldest of the users' features were read from the store")
    trace: list[StageOut] | None = Field(None, description="with ?explain=true")


EXAMPLES: dict[str, Any] = {
    "two users, two ads": {
        "value": {"rows": [{"user_id": user, "ad_id": ad} for user in (7, 8) for ad in (1, 5)]},
    },
    "from the first slot to the last": {
        "value": {"rows": [{"user_id": 7, "ad_id": 1, "slot": slot} for slot in range(SLOTS)]},
    },
}


@dataclass(frozen=True)
class Scored:
    """The values of a `ScoreResponse`."""

    p_click: list[float]
    cold_users: list[int]
    feature_age_s: float
    trace: Trace


def score_rows(service: CtrService, rows: Sequence[RowIn], knobs: Mapping[str, Any]) -> Scored:
    """Score all rows as of one world time. Raises `DeadlineExceeded`."""
    trace, p = Trace(), np.empty(len(rows))
    deadline, at_ts = Deadline.after_ms(service.config.serve.deadline_ms), service.clock.now()
    pages: dict[Page, list[int]] = {}
    for place, row in enumerate(rows):
        pages.setdefault(row.page, []).append(place)
    read = service.user.read_all(dict.fromkeys(user_id for user_id, _, _ in pages), deadline, trace)
    cold, oldest_s = set(), 0.0
    for (user_id, publisher, device), places in pages.items():
        deadline.check("the next page")
        ads, which = np.unique([rows[place].ad_id for place in places], return_inverse=True)
        query = service.query(user_id, publisher, device, SLOTS, knobs, candidates=ads, at_ts=at_ts)
        query, by_slot = service.score(query.but(read=read.get(user_id), deadline=deadline), trace)
        p[places] = by_slot[which, [rows[place].slot for place in places]]
        oldest_s = max(oldest_s, query.feature_age_s)
        if query.is_cold:
            cold.add(user_id)
    return Scored(p.tolist(), sorted(cold), oldest_s, trace)


def add_score(app: FastAPI, slot: ReleaseSlot[CtrService], admission: Admission) -> None:
    """Add `POST /v1/ads/score`."""

    @app.post(
        SCORE_PATH, tags=["ads"], summary="Score ads without an auction", response_model=ScoreResponse,
        responses=ASK_RESPONSES,
    )  # fmt: skip
    async def score(
        body: Annotated[ScoreRequest, Body(openapi_examples=EXAMPLES)],
        explain: Annotated[bool, Query(description="add the trace of the request")] = False,
    ) -> Response:
        service = slot.value
        if service is None:
            return no_release(slot.last_error)
        if unknown := service.unknown([row.ad_id for row in body.rows]):
            return no_such_ad(unknown)
        found = await admission.run(lambda: score_rows(service, body.rows, knobs_set(body.knobs)))
        answer: dict[str, Any] = {
            "p_click": found.p_click,
            "model_version": service.model_version,
            "cold_users": found.cold_users,
            "degraded": found.trace.degraded,
            "feature_age_s": round(found.feature_age_s, 3),
        }
        if explain:
            answer["trace"] = found.trace.stages
        timing = {"Server-Timing": found.trace.server_timing()}
        return Response(orjson.dumps(answer), media_type="application/json", headers=timing)
