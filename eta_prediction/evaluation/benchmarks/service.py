"""A service in this process, without HTTP, for benchmarks of its stages."""

from __future__ import annotations

from dataclasses import replace

from eta_prediction.config import EtaConfig
from eta_prediction.online.bootstrap import EtaBootstrap
from eta_prediction.online.service import EtaService
from infra.faults.switch import FaultSwitch
from infra.registry.release import Release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.serving.shared import SharedParts
from infra.settings import Settings

PATIENCE_MS, FRESH_S = 60_000.0, 86_000.0
"""deadline of a request, and the age up to which traffic is fresh: no worker renews it here"""


def open_service(release: Release, config: EtaConfig, settings: Settings) -> EtaService:
    """The service of `release`."""
    serve = replace(config.serve, deadline_ms=PATIENCE_MS, feature_timeout_ms=PATIENCE_MS)
    patient = replace(config, serve=serve, route=replace(config.route, speeds_ttl_s=FRESH_S))
    breaker = CircuitBreaker("feature_store", open_s=config.serve.breaker_open_s)
    shared = SharedParts(settings, breaker, Bulkhead("feature_store", workers=1, queue=1), FaultSwitch())
    return EtaBootstrap(shared, patient).load(release)
