"""Fast path for the design's endpoint: answers ordinary requests without the web framework.

The framework's routing, dependency resolution and context stack cost more than the whole latency budget of some
designs. A request with a query string, another media type or an invalid body goes to the app, which answers with the
exact error. The framework's route documents the endpoint and gives the same answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from infra.errors import DependencyError, UsageError
from infra.serving.middleware.body_limit import replay
from infra.serving.problems import Overloaded, bug, problem_of

JSON = (b"content-type", b"application/json")
Answer = Callable[[dict[str, Any], Any], Awaitable[Response]]
"""(request state, validated body) -> response"""


@dataclass(frozen=True)
class QuickAsk:
    """ASGI middleware inside `BodyLimit`, which delivers the whole body in one message."""

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
        except Exception as exc:  # no outer layer handles exceptions
            response = bug(self.path, exc)
        await response(scope, receive, send)
