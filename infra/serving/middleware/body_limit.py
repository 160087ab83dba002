"""Rejects request bodies that are too large or arrive too slowly, before the application runs."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from types import coroutine
from typing import Any, TypeVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.serving.problems import problem

T = TypeVar("T")


class _TooLarge(Exception): ...


@dataclass(frozen=True)
class BodyLimit:
    """ASGI middleware that reads the whole body, then calls the app. Answers 413 above `max_bytes`, 408 after
    `timeout_s`."""

    app: ASGIApp
    max_bytes: int
    timeout_s: float = 10.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        try:
            body = await self._read_in_time(scope, receive)
        except _TooLarge:
            detail = f"a request body may have at most {self.max_bytes} bytes"
            await problem(413, detail, headers={"Connection": "close"})(scope, receive, send)
            return
        except TimeoutError:
            detail = f"the body did not arrive within {self.timeout_s:.0f} s"
            await problem(408, detail, headers={"Connection": "close"})(scope, receive, send)
            return
        if body is None:  # the client disconnected
            return
        await self.app(scope, replay(body, receive), send)

    async def _read_in_time(self, scope: Scope, receive: Receive) -> bytes | None:
        """Read the body, and start a timeout only if the first step has to wait.

        Most bodies arrive with the header, and setting a timeout for them took longer than reading them.
        """
        reading = self._read(scope, receive)
        try:
            waits_for = reading.send(None)
        except StopIteration as done:
            found: bytes | None = done.value
            return found
        async with asyncio.timeout(self.timeout_s):
            return await _rest_of(reading, waits_for)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self.max_bytes:
                raise _TooLarge
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self.max_bytes:
                raise _TooLarge
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)


@coroutine
def _rest_of(begun: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Continue a coroutine that has already started. `waits_for` is the object that it currently awaits."""
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as exc:
                waits_for = begun.throw(exc)
            else:
                waits_for = begun.send(sent)
    except StopIteration as done:
        found: T = done.value
        return found


def replay(body: bytes, receive: Receive) -> Receive:
    """Return an ASGI `receive` that first returns the buffered `body`, then delegates to `receive`."""
    sent = False

    async def once() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once
