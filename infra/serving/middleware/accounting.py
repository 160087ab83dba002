"""Counts every request to the design's endpoint exactly once, by outcome."""

from __future__ import annotations

import time
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.serving.release_tally import ReleaseTally
from infra.telemetry.metrics import ServiceMetrics


@dataclass(frozen=True)
class Accounting:
    """The outermost ASGI middleware, so that it also counts requests that inner layers reject.

    The endpoint sets `scope["state"]["degraded"]` if its response is degraded, and `scope["state"]["model"]` to the
    version of the model that answers, before it computes the answer.
    """

    app: ASGIApp
    metrics: ServiceMetrics
    path: str
    tally: ReleaseTally | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self.path or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        status = 0
        scope.setdefault("state", {})
        started = time.perf_counter()
        self.metrics.requests.inc()

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except BaseException:
            status = 0  # the response is incomplete even if its status was already sent
            raise
        finally:
            seconds, state = time.perf_counter() - started, scope["state"]
            self.metrics.latency.observe(seconds)
            outcome = outcome_of(status, degraded=bool(state.get("degraded")))
            self.metrics.ended(outcome)
            if self.tally is not None and (model := state.get("model")):
                self.tally.ended(model, outcome, seconds)


def outcome_of(status: int, *, degraded: bool) -> str:
    """Return the outcome of a response. `status` 0 means no complete response: a bug, or a client that disconnected."""
    if status == 503:
        return "shed"
    if status == 0 or status >= 500:
        return "failed"
    if status >= 400:
        return "rejected"
    return "degraded" if degraded else "ok"
