"""The worker process of a design: waits for a release, runs the design's consumers, and reports their state.

`GET /healthz` answers while the process is alive and returns each consumer's last error. `GET /metrics` returns the
Prometheus metrics.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics, generate_latest
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from infra.design import Design, resolve
from infra.errors import UsageError
from infra.parent import stop_with_parent
from infra.serving.middleware.hosts import AllowedHosts
from infra.settings import Settings
from infra.stream.address import StreamAddress, find_stream
from infra.stream.consumer import EventConsumer
from infra.stream.metrics import StreamMetrics
from infra.stream.producer import EventProducer

log = logging.getLogger(__name__)
WAIT_S = 1.0


@dataclass(frozen=True)
class WorkerContext:
    """Arguments of a design's consumer factory. `producer` writes the dead letters."""

    design: Design
    settings: Settings
    config: Any
    registry: CollectorRegistry
    metrics: StreamMetrics
    producer: EventProducer
    find: Callable[[], StreamAddress]


def create_worker(design: Design, settings: Settings) -> ASGIApp:
    """Create the ASGI app of a worker."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    topics = tuple(resolve(design.topics)())
    metrics = StreamMetrics(registry, topics)

    def find() -> StreamAddress:
        return find_stream(settings)

    producer = EventProducer(find, topics, metrics)
    context = WorkerContext(design, settings, design.configuration(settings.preset), registry, metrics, producer, find)
    consumers: list[EventConsumer] = []

    async def begin() -> None:
        """Start the consumers as soon as a release exists."""
        while True:
            try:
                made: Sequence[EventConsumer] = await run_in_threadpool(resolve(design.worker), context)
                break
            except UsageError as exc:
                log.info("%s; waiting for a build", exc)
                await asyncio.sleep(WAIT_S)
        for consumer in made:
            consumer.start()
        consumers.extend(made)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        stop_with_parent(settings.parent_pipe)
        producer.start()
        beginning = asyncio.create_task(begin())
        yield
        beginning.cancel()
        for consumer in consumers:
            await run_in_threadpool(consumer.close)
        await run_in_threadpool(producer.close)

    async def healthz(_: Request) -> Response:
        states = {consumer.group: consumer.last_error or "ok" for consumer in consumers}
        return _json({"status": "ok" if consumers else "waiting for a build", "consumers": states})

    async def show_metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    app = Starlette(routes=[Route("/healthz", healthz), Route("/metrics", show_metrics)], lifespan=lifespan)
    return AllowedHosts.around(app, settings.allowed_hosts)


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
