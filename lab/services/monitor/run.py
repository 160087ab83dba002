"""The monitor: keeps the alerts of the lab, moves rollouts on, and exports metrics of builds, drift and more.

Composed: Alertmanager posts alerts to the webhook, and Prometheus reads the metrics. In both settings, an alert about a
served model is kept as a request to retrain it (`infra.live.retraining_request`). Embedded (`--watch`): the monitor
reads the metrics of the running processes itself and evaluates the same rules (`lab.services.monitor.scrape`).

`lab monitor` runs it in the foreground; the supervisor runs `python -m lab.services.monitor.run --watch`. This module
imports no feature store, no registry and no command-line library, because they take memory for as long as the monitor
runs.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from starlette.responses import Response
from starlette.types import ASGIApp

from infra.errors import UsageError
from infra.live.retraining_request import keep_requests
from infra.parent import stop_with_parent
from infra.serving.middleware.body_limit import BodyLimit
from infra.serving.middleware.hosts import AllowedHosts
from infra.serving.problems import add_problem_handlers
from infra.settings import Settings
from infra.telemetry.alerts.book import AlertBook, alert_file
from infra.telemetry.alerts.evaluation import RuleEvaluation
from infra.telemetry.alerts.expressions import SCRAPE_S, Clock
from infra.telemetry.alerts.rules import alert_rules, rule_groups
from infra.telemetry.alerts.webhook import Notification, take
from infra.telemetry.builds import BuildMetrics
from infra.telemetry.drift.metrics import DriftMetrics
from infra.telemetry.logs import configure_logs
from infra.telemetry.rollouts import RolloutMetrics
from lab.designs import NAMES, load_designs
from lab.services.monitor.drift import DriftRounds
from lab.services.monitor.rollouts import Rollouts
from lab.services.monitor.scrape import Scraper, running_targets
from lab.services.ports import check_port, monitor_port_of

log = logging.getLogger(__name__)
SHORTEST_S = 0.5
"""shortest time between two rounds of the embedded monitor"""
MAX_BODY_BYTES = 1_000_000
SEVERITIES = ("page", "ticket")


def create_monitor(settings: Settings, *, watch: bool) -> ASGIApp:
    """Create the ASGI app. With `watch`, the app evaluates the alert rules itself and accepts no notifications."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry, book = CollectorRegistry(), AlertBook(alert_file(settings))
    ProcessCollector(registry=registry)
    registry.register(BuildMetrics(NAMES, settings))
    registry.register(DriftMetrics(NAMES, settings))
    registry.register(RolloutMetrics(NAMES, settings))
    notifications = Counter("lab_notifications", "notifications of Alertmanager", registry=registry)
    scrapes = Counter("lab_monitor_scrapes", "reads of a process's metrics, by result", ["result"], registry=registry)
    active = Gauge("lab_alerts_active", "alerts that fire, by severity", ["severity"], registry=registry)

    def metrics() -> str:
        severities = [alert.labels.get("severity") for alert in book.listed().active]
        for severity in SEVERITIES:
            active.labels(severity).set(severities.count(severity))
        return str(generate_latest(registry).decode())

    scraper = _scraper(settings, book, metrics, scrapes) if watch else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        stop_with_parent(settings.parent_pipe)
        book.save()
        if scraper:
            scraper.start()
        designs = load_designs()
        with Rollouts(designs, settings), DriftRounds(designs, settings, retrains=watch and settings.retrain):
            yield
        if scraper:
            scraper.close()

    app = FastAPI(docs_url=None, redoc_url=None, title="Monitor", lifespan=lifespan)
    add_problem_handlers(app)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/metrics")
    def show_metrics() -> Response:
        return Response(metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/alerts")
    def alerts() -> dict[str, Any]:
        return {"evaluates": watch, **book.listed().row()}

    @app.post("/v1/alerts/webhook", status_code=202)
    def webhook(body: Notification) -> dict[str, int]:
        if watch:
            raise UsageError("this monitor evaluates the alerts itself and accepts no notifications")
        take(body, book)
        notifications.inc()
        book.save()
        keep_requests(settings, NAMES, book.listed().active)
        return {"accepted": len(body.alerts)}

    return AllowedHosts.around(BodyLimit(app, MAX_BODY_BYTES), settings.allowed_hosts)


def run_monitor(settings: Settings, *, watch: bool) -> None:
    """Run the monitor until SIGINT or SIGTERM. Raises `DependencyError` at the start if the port is taken."""
    port = monitor_port_of(settings)
    check_port(settings.host, port)
    configure_logs()
    log.info("starting the monitor at http://%s:%d", settings.host, port)
    app = create_monitor(settings, watch=watch)
    uvicorn.run(app, host=settings.host, port=port, log_config=None, access_log=False, timeout_graceful_shutdown=5)


def _scraper(settings: Settings, book: AlertBook, own: Any, scrapes: Counter) -> Scraper:
    every_s = max(SHORTEST_S, SCRAPE_S / settings.alert_clock)
    clock = Clock(settings.alert_clock, every_s)
    evaluation = RuleEvaluation(alert_rules(rule_groups(load_designs())), clock)
    book.replace([])  # alerts of an earlier run of the lab ended with it
    return Scraper(
        evaluation,
        book,
        lambda: running_targets(settings),
        own,
        scrapes,
        every_s,
        lambda active: keep_requests(settings, NAMES, active),
    )


if __name__ == "__main__":
    run_monitor(Settings(), watch="--watch" in sys.argv[1:])
