"""Parts that both endpoints share: the context, request-time knobs, and the error for unknown ads."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from starlette.responses import Response

from ctr_prediction.design import DESIGN
from ctr_prediction.domain import DEVICES
from infra.serving.event_intake import Id
from infra.serving.problems import problem
from infra.serving.schemas import StrictModel, knobs_model

CtrKnobs = knobs_model("CtrKnobs", DESIGN.knobs("small"))
DEVICE_OF = {name: number for number, name in enumerate(DEVICES)}


class ContextIn(StrictModel):
    """The context of a request: publisher and device."""

    publisher_id: Id = Field(0, description="an unknown publisher is treated as an average one")
    device: Literal["phone", "tablet", "desktop"] = "phone"


def no_such_ad(unknown: list[int]) -> Response:
    return problem(422, f"there is no ad {unknown[0]}; newer ads can bid after the next release")
