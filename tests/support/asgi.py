"""Drives an ASGI app without a server: one request, message by message."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass
class Answer:
    """The messages that the app sent. `status` is 0 if the app sent no response."""

    messages: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        return next((m["status"] for m in self.messages if m["type"] == "http.response.start"), 0)

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(next(m["headers"] for m in self.messages if m["type"] == "http.response.start"))

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = orjson.loads(b"".join(m.get("body", b"") for m in self.messages))
        return found


@dataclass
class Endpoint:
    """An app that reads and keeps the request body, then responds with `status`; with status 0 it sends no response."""

    status: int = 200
    error: BaseException | None = None
    state: dict[str, Any] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)
    after: list[Message] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        self.after.append(await receive())
        scope.setdefault("state", {}).update(self.state)
        if self.error:
            raise self.error
        if self.status:
            await send({"type": "http.response.start", "status": self.status, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})


def chunks(*parts: bytes) -> list[Message]:
    """Return the ASGI messages of a request body that arrives in parts."""
    last = len(parts) - 1
    return [{"type": "http.request", "body": part, "more_body": i < last} for i, part in enumerate(parts)]


DISCONNECT: Message = {"type": "http.disconnect"}


async def drive(
    app: ASGIApp,
    messages: Iterable[Message],
    *,
    answer: Answer | None = None,
    headers: Iterable[tuple[bytes, bytes]] = (),
    pause_s: float = 0.0,
    **scope: Any,
) -> Answer:
    """Send one request to the app. Each message arrives `pause_s` after the app awaits it; then the client
    disconnects."""
    answer, coming = answer or Answer(), iter(messages)

    async def receive() -> Message:
        await asyncio.sleep(pause_s)
        return next(coming, DISCONNECT)

    async def send(message: Message) -> None:
        answer.messages.append(message)

    await app({"type": "http", "method": "POST", "path": "/", "headers": list(headers)} | scope, receive, send)
    return answer
