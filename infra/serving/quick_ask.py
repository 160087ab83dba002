"""Answers the design's own endpoint without the framework's machinery, where a request is an ordinary one.

Entering the framework, routing, solving dependencies and a stack of contexts cost more than some designs have for a
whole answer. What is out of the ordinary (a query string, another media type, a body that is not valid) passes on to
the app, which explains it; so the framework's route stays, documents the endpoint, and answers the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.errors import DependencyError, UsageError
from infra.serving.body_limit import replay
from infra.serving.problems import Overloaded, bug, problem_of

JSON = (b"content-type", b"application/json")
Answer = Callable[[dict[str, Any], Any], Awaitable[Response]]
"""from the request's state and its body, which the model has checked"""


@dataclass(frozen=True)
class QuickAsk:
    """ASGI middleware; stands inside the body limit, which hands it the whole body at once."""

    app: ASGIApp
    path: str
    model: type[BaseModel]
    answer: Answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["path"] != self.path
            or scope["method"] != "POST"
            or scope["query_string"]
            or JSON not in scope["headers"]
        ):
            await self.app(scope, receive, send)
            return
        message = await receive()
        body: bytes = message.get("body", b"")
        try:
            asked = self.model.model_validate_json(body)
        except ValidationError:
            await self.app(scope, replay(body, receive), send)
            return
        try:
            response = await self.answer(scope.setdefault("state", {}), asked)
        except (Overloaded, DependencyError, UsageError) as exc:
            response = problem_of(exc)
        except Exception as exc:  # nobody stands outside of this layer who would answer
            response = bug(self.path, exc)
        await response(scope, receive, send)
