"""The app factory: builds the parts of a service that all designs share.

A design supplies its endpoint and a `ServiceCore`. The factory adds health, readiness, metrics, the design document,
the fault switch, a front page, problem details, accounting, a body limit and a check of the `Host` header.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import orjson
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp

from infra.collector import collect_rarely
from infra.design import Design
from infra.faults.metrics import FaultMetrics
from infra.faults.switch import FaultSwitch
from infra.parent import stop_with_parent
from infra.registry.health import RegistryWatch
from infra.resilience.breaker import CircuitBreaker
from infra.serving.admission import Admission
from infra.serving.middleware.accounting import Accounting
from infra.serving.middleware.body_limit import BodyLimit
from infra.serving.middleware.hosts import AllowedHosts
from infra.serving.middleware.quick_ask import Answer, QuickAsk
from infra.serving.page import render_page
from infra.serving.problems import Problem, add_problem_handlers, problem
from infra.serving.release_tally import ReleaseTally
from infra.serving.schemas import AlertOut, AlertsOut, FaultIn, FaultOut, Health, Ready
from infra.serving.slot import ReleaseSlot
from infra.settings import Settings
from infra.stream.producer import EventProducer
from infra.telemetry.alerts.book import alert_file, read_alerts
from infra.telemetry.metrics import ServiceMetrics

log = logging.getLogger(__name__)
PROBLEM: Any = {"model": Problem, "content": {"application/problem+json": {}}}
ASK_RESPONSES: dict[int | str, Any] = dict.fromkeys((400, 408, 413, 422, 500, 503), PROBLEM)


class Background(Protocol):
    def start(self) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class ServiceCore:
    """The parts of a service that outlive a release. The process creates them once, and all requests share them."""

    design: Design
    settings: Settings
    slot: ReleaseSlot[Any]
    metrics: ServiceMetrics
    admission: Admission
    breakers: Mapping[str, CircuitBreaker]
    faults: FaultSwitch
    max_body_bytes: int
    producer: EventProducer | None = None
    tally: ReleaseTally | None = None
    background: Sequence[Background] = ()
    """background tasks; the app starts them after the release is loaded and closes them in reverse order"""


def create_service(
    core: ServiceCore,
    add_routes: Callable[[FastAPI], None],
    version: str,
    quick: tuple[type[BaseModel], Answer] | None = None,
) -> ASGIApp:
    """Build the app and its middleware. The app loads the release at start-up, not at import.

    `quick` holds the body model and the handler of the design's endpoint for `QuickAsk`, which bypasses the framework.
    A design sets it if the framework's overhead is too high for its latency budget.
    """
    design, registry = core.design, RegistryWatch(core.settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        stop_with_parent(core.settings.parent_pipe)
        await run_in_threadpool(core.slot.start)
        registry.start()
        for part in core.background:
            part.start()
        collect_rarely()
        yield
        core.faults.clear_all()  # threads that an injected hang blocks would keep the process alive
        core.slot.close()
        for part in reversed(core.background):
            await run_in_threadpool(part.close)
        registry.close()
        core.admission.close()

    app = FastAPIOffline(
        redoc_url=None, title=design.title, version=version, description=design.summary, lifespan=lifespan
    )
    add_problem_handlers(app)
    add_routes(app)
    _add_health(app, core, registry)
    _add_description(app, core)
    _add_alerts(app, core)
    if core.settings.fault_injection:
        _add_faults(app, core)
    inner: ASGIApp = app if quick is None else QuickAsk(app, design.ask.path, *quick)
    inner = AllowedHosts.around(BodyLimit(inner, core.max_body_bytes), core.settings.allowed_hosts)
    return Accounting(inner, core.metrics, design.ask.path, core.tally)


def no_release(why: str) -> Response:
    """The 503 response of a service without a loaded release: no release exists, or its load failed."""
    return problem(
        503,
        f"no release is loaded yet: {why}; the service answers requests after the first successful build",
        headers={"Retry-After": "1"},
    )


def describe(design: Design, settings: Settings) -> dict[str, Any]:
    """The document that `GET /v1/design` serves. Load tests and drills read budgets and knobs from it."""
    return {
        "name": design.name,
        "title": design.title,
        "summary": design.summary,
        "preset": settings.preset,
        "deadline_factor": settings.deadline_factor,
        "world": asdict(design.configuration(settings.preset).world),
        "ask": asdict(design.ask),
        "budgets": [asdict(budget) for budget in design.budgets],
        "knobs": [asdict(knob) for knob in design.knobs(settings.preset)],
        "steps": [{"name": step.name, "title": step.title, "after": step.after} for step in design.steps],
    }


def _add_health(app: FastAPI, core: ServiceCore, registry: RegistryWatch) -> None:
    @app.get("/healthz", tags=["service"], summary="Check that the process is alive")
    async def healthz() -> Health:
        return Health(status="ok")

    @app.get(
        "/readyz",
        tags=["service"],
        summary="Check that the service can serve",
        response_model=Ready,
        responses={503: PROBLEM},
    )
    async def readyz() -> Any:
        release = core.slot.release
        if release is None:
            return no_release(core.slot.last_error)
        return Ready(
            status="ready",
            model_version=f"{release.model_name}/{release.model_version}",
            breakers={name: breaker.state.name.lower() for name, breaker in core.breakers.items()},
            registry=registry.state,
            stream=_stream_state(core.producer),
            refused_release=core.slot.last_error,
            challenger=_challenger_state(core.slot),
        )

    @app.get("/metrics", tags=["service"], summary="Prometheus metrics", response_class=Response)
    async def metrics() -> Response:
        for name, breaker in core.breakers.items():
            core.metrics.breaker.labels(name).set(breaker.state)
        return Response(core.metrics.expose(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _challenger_state(slot: ReleaseSlot[Any]) -> str:
    if slot.challenger is None or (trial := slot.challenger.trial) is None:
        return f"refused: {slot.challenger.last_error}" if slot.challenger and slot.challenger.last_error else ""
    return f"version {trial.rollout.version}, {trial.rollout.stage} {trial.rollout.share:.0%}"


def _stream_state(producer: EventProducer | None) -> str:
    if producer is None:
        return "none"
    return "answers" if producer.is_up else f"does not answer: {producer.last_error}"


def _add_description(app: FastAPI, core: ServiceCore) -> None:
    description = orjson.dumps(describe(core.design, core.settings))
    page = render_page(core.design, core.settings.preset)

    @app.get(
        "/v1/design",
        tags=["service"],
        summary="Describe the budgets, knobs and steps of the design",
        response_model=dict[str, Any],
    )
    async def design() -> Response:
        return Response(description, media_type="application/json")

    @app.get("/", include_in_schema=False)
    async def front_page() -> HTMLResponse:
        return HTMLResponse(page)


def _add_alerts(app: FastAPI, core: ServiceCore) -> None:
    @app.get("/v1/alerts", tags=["service"], summary="List the alerts of this design and of the platform")
    def alerts() -> AlertsOut:
        """The monitor writes the file, so the answer depends on no other process."""
        found = read_alerts(alert_file(core.settings))
        active = [
            AlertOut(
                name=one.name,
                severity=one.labels.get("severity", ""),
                summary=one.summary,
                action=one.action,
                starts_ts=one.starts_ts,
            )
            for one in found.active
            if one.design in ("", core.design.name)
        ]
        return AlertsOut(is_current=found.is_current(time.time()), active=active)


def _add_faults(app: FastAPI, core: ServiceCore) -> None:
    core.metrics.registry.register(FaultMetrics(core.faults))

    def listing() -> list[FaultOut]:
        rows = []
        for fault in core.faults.faults:
            active = core.faults.active(fault.port)
            is_active = active is not None and active.fault is fault
            rows.append(FaultOut(port=fault.port, fault=fault.name, title=fault.title, active=is_active))
        return rows

    @app.get("/v1/faults", tags=["faults"], summary="List all faults and the injected ones")
    async def faults() -> list[FaultOut]:
        return listing()

    @app.put("/v1/faults/{port}", tags=["faults"], summary="Inject a fault", responses={422: PROBLEM, 400: PROBLEM})
    async def inject(port: str, body: FaultIn) -> list[FaultOut]:
        core.faults.inject(port, body.fault, body.delay_s)
        log.warning("fault injected: %s %s", port, body.fault)
        return listing()

    @app.delete("/v1/faults/{port}", tags=["faults"], summary="Clear the fault of a port", responses={422: PROBLEM})
    async def clear(port: str) -> list[FaultOut]:
        core.faults.clear(port)
        log.warning("fault cleared: %s", port)
        return listing()
