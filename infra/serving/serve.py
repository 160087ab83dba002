"""Assembles a service: the parts of its process, the release slot, and the app with the design's routes.

A design's `create_app` calls `make_parts`, creates its bootstrap from `parts.shared`, and calls `open_slot` and
`serve`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import ASGIApp

from infra.design import Design
from infra.faults.switch import FaultSwitch, SwitchedStream
from infra.live.clock import CLOCK_FILE, SharedClock
from infra.registry.release import Release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.serving.admission import Admission
from infra.serving.app import Background, ServiceCore, create_service
from infra.serving.challenger import ChallengerSlot
from infra.serving.middleware.quick_ask import Answer
from infra.serving.release_tally import ReleaseTally
from infra.serving.shadow import Shadow
from infra.serving.shared import SharedParts
from infra.serving.slot import ReleaseSlot
from infra.settings import Settings
from infra.stream.address import find_stream
from infra.stream.metrics import StreamMetrics
from infra.stream.producer import EventProducer
from infra.telemetry.metrics import ServiceMetrics

log = logging.getLogger(__name__)

S_co = TypeVar("S_co", covariant=True)
S = TypeVar("S")


class Bootstrap(Protocol[S_co]):
    """Creates a service from a release."""

    def load(self, release: Release, *, without_damaged: bool = False) -> S_co: ...


@dataclass(frozen=True)
class ServiceParts:
    """The parts that a process creates once. `live` is the folder of the live log; `config` is the configuration.

    `admission` limits the design's requests. `intake` limits the calls that wait for the broker.
    """

    design: Design
    config: Any
    live: Path
    shared: SharedParts
    metrics: ServiceMetrics
    find: SwitchedStream
    stream_metrics: StreamMetrics
    producer: EventProducer
    admission: Admission
    intake: Admission
    tally: ReleaseTally


def make_parts(design: Design, settings: Settings, live: Path, stats: str, topics: tuple[str, ...],
    counted: tuple[str, ...],
) -> ServiceParts:  # fmt: skip
    """Create the parts for `settings`. `stats` is the name of the live counts file in `live`.

    The producer creates missing `topics`. The stream metrics export the topics in `counted` from the start.
    """
    config = with_longer_deadlines(design.configuration(settings.preset), settings.deadline_factor)
    limits = config.serve
    metrics, faults = ServiceMetrics(design), FaultSwitch()
    slow_s = next((budget.limit for budget in design.budgets if budget.unit == "ms"), 1000.0) / 1000
    tally = ReleaseTally(settings.design_root(design.name), slow_s * settings.deadline_factor)
    metrics.registry.register(tally)
    shared = SharedParts(
        settings,
        CircuitBreaker("feature_store", open_s=limits.breaker_open_s),
        Bulkhead("feature_store", workers=limits.workers, queue=limits.workers),
        faults,
        metrics.feature_age.observe,
        stats_path=live / stats,
    )
    stream_metrics = StreamMetrics(metrics.registry, counted)
    find = SwitchedStream(lambda: find_stream(settings), faults)
    return ServiceParts(
        design,
        config,
        live,
        shared,
        metrics,
        find,
        stream_metrics,
        EventProducer(find, topics, stream_metrics),
        Admission(workers=limits.workers, queue=limits.queue),
        Admission(workers=limits.intake_workers, queue=limits.intake_queue),
        tally,
    )


def with_longer_deadlines(config: Any, factor: float) -> Any:
    """Return `config` with its request deadline and feature store timeout multiplied by `factor`."""
    if factor == 1:
        return config
    limits = config.serve
    log.warning("deadline_ms and feature_timeout_ms are multiplied by %g (LAB_DEADLINE_FACTOR)", factor)
    longer = {name: getattr(limits, name) * factor for name in ("deadline_ms", "feature_timeout_ms")}
    return replace(config, serve=replace(limits, **longer))


def open_slot(parts: ServiceParts, bootstrap: Bootstrap[S], end_of_log: Callable[[Path], float]) -> ReleaseSlot[S]:
    """Create the slot that holds the service which `bootstrap` creates from the current release, and from that of a
    challenger.

    `end_of_log` returns the end of the live log in a folder. The world clock starts at the later of that time and
    the end of the release's log.
    """
    shared, settings = parts.shared, parts.shared.settings

    def load(release: Release) -> S:
        if shared.clock is None:
            shared.clock = SharedClock(parts.live / CLOCK_FILE, max(release.world_now, end_of_log(parts.live)))
        service = bootstrap.load(release, without_damaged=slot.value is None)
        parts.metrics.serving(release.model_name, release.model_version, release.released_ts)
        return service

    root = settings.design_root(parts.design.name)
    challenger: ChallengerSlot[S] = ChallengerSlot(root, bootstrap.load, parts.tally.begin)
    slot: ReleaseSlot[S] = ReleaseSlot(
        root,
        load,
        swapped=lambda ok: parts.metrics.swaps.labels("ok" if ok else "refused").inc(),
        challenger=challenger,
        looked=lambda: parts.tally.write(challenger.last_error),
        may_wait=settings.wait_for_release,
    )
    return slot


def shadow_of(parts: ServiceParts, slot: ReleaseSlot[Any], topic: str) -> Shadow:
    """Create the shadow of this process. Its results go to `topic`, where the design logs its predictions."""
    assert slot.challenger is not None
    return Shadow(slot.challenger, parts.admission, parts.producer, parts.tally, topic)


def serve(
    parts: ServiceParts,
    slot: ReleaseSlot[Any],
    add_routes: Callable[[FastAPI], None],
    *,
    followers: Sequence[Background] = (),
    quick: tuple[type[BaseModel], Answer] | None = None,
) -> ASGIApp:
    """Create the app. `followers` are further background tasks; `create_service` describes `quick`."""
    shared = parts.shared
    parts.metrics.registry.register(shared.store_watch)
    core = ServiceCore(
        parts.design,
        shared.settings,
        slot,
        parts.metrics,
        parts.admission,
        {"feature_store": shared.breaker},
        shared.faults,
        parts.config.serve.max_body_kb * 1000,
        parts.producer,
        background=(parts.producer, shared.store_watch, *followers),
        tally=parts.tally,
    )
    return create_service(core, add_routes, version("ml-system-design-lab"), quick=quick)
