"""Gives the contract tests access to each design: its pipeline, representative queries, fault switch and breaker.

Designs that choose among candidates have a `Subject`, designs that predict one value a `QuoteSubject`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from prometheus_client import CollectorRegistry

from ctr_prediction.config import PRESETS as CTR_PRESETS
from ctr_prediction.online.bootstrap import CtrBootstrap
from ctr_prediction.online.cache import CacheMetrics
from ctr_prediction.online.service import CtrService
from eta_prediction.config import PRESETS as ETA_PRESETS
from eta_prediction.online.bootstrap import EtaBootstrap
from eta_prediction.online.query import EtaQuery
from eta_prediction.online.service import EtaService
from feed_ranking.config import PRESETS
from feed_ranking.online.bootstrap import FeedBootstrap
from feed_ranking.online.service import FeedService
from infra.faults.switch import FaultSwitch
from infra.pipeline.runner import CandidatePipeline
from infra.registry.release import read_release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.serving.shared import SharedParts
from infra.settings import Settings

PATIENCE_MS = 60_000.0
"""Deadline of a query. The tests check results, not speed; on a busy machine the default deadline degrades
responses."""


@dataclass(frozen=True)
class Subject:
    """A design under test. `queries` returns new queries at each call, because a query carries a deadline. The pipeline
    hydrates them."""

    name: str
    pipeline: CandidatePipeline[Any]
    queries: Callable[[], list[Any]]
    faults: FaultSwitch
    breaker: CircuitBreaker


def load_feed(settings: Settings, *, open_s: float = 0.2) -> tuple[FeedService, FaultSwitch, CircuitBreaker]:
    faults, breaker = FaultSwitch(), CircuitBreaker("feature_store", open_s=open_s)
    bulkhead = Bulkhead("feature_store", workers=2, queue=2)
    config = PRESETS[settings.preset]
    patient = replace(config, serve=replace(config.serve, deadline_ms=PATIENCE_MS, feature_timeout_ms=PATIENCE_MS))
    bootstrap = FeedBootstrap(SharedParts(settings, breaker, bulkhead, faults), patient)
    return bootstrap.load(read_release(settings.design_root("feed_ranking"))), faults, breaker


def feed_subject(settings: Settings) -> Subject:
    service, faults, breaker = load_feed(settings)

    def queries() -> list[Any]:
        knobs: list[dict[str, float]] = [
            {},
            {"creator_cap": 1},
            {"heavy_top_k": 50, "epsilon": 0.5},
            {"interest_limit": 0},
        ]
        knobs.append({"follow_limit": 0, "interest_limit": 0, "trending_limit": 0, "fresh_limit": 0})
        seen = list(range(0, 2400, 2))
        return [
            service.query(user, 20, seen if user % 2 else [], turned, seed=user % 97)
            for user in (0, 7, 311, 10**12)
            for turned in knobs
        ]

    return Subject("feed_ranking", service.pipeline, queries, faults, breaker)


def load_ctr(settings: Settings, *, open_s: float = 0.2) -> tuple[CtrService, FaultSwitch, CircuitBreaker]:
    faults, breaker = FaultSwitch(), CircuitBreaker("feature_store", open_s=open_s)
    bulkhead = Bulkhead("feature_store", workers=2, queue=2)
    config = CTR_PRESETS[settings.preset]
    patient = replace(
        config,
        serve=replace(config.serve, deadline_ms=PATIENCE_MS, feature_timeout_ms=PATIENCE_MS),
        cache=replace(config.cache, cache_ttl_s=0.0),
    )
    shared = SharedParts(settings, breaker, bulkhead, faults)
    bootstrap = CtrBootstrap(shared, patient, CacheMetrics(CollectorRegistry()))
    return bootstrap.load(read_release(settings.design_root("ctr_prediction"))), faults, breaker


def ctr_subject(settings: Settings) -> Subject:
    service, faults, breaker = load_ctr(settings)

    def queries() -> list[Any]:
        knobs: list[dict[str, Any]] = [
            {},
            {"model": "teacher", "calibrated": "no"},
            {"position": "naive", "pacing": "none", "frequency_cap": 1},
            {"eligible_limit": 5, "reserve_cpm": 20.0},
            {"randomised_share": 1.0},
        ]
        return [
            service.query(user, user % 10, user % 3, 2 + user % 3, turned, seed=user % 97, exclude=range(0, user % 50))
            for user in (0, 7, 311, 10**12)
            for turned in knobs
        ]

    return Subject("ctr_prediction", service.pipeline, queries, faults, breaker)


@dataclass(frozen=True)
class QuoteSubject:
    """A design whose requests have one answer each. `requests` returns new queries with their two places."""

    name: str
    service: EtaService
    requests: Callable[[], list[tuple[EtaQuery, int, int]]]
    faults: FaultSwitch


def eta_subject(settings: Settings) -> QuoteSubject:
    faults, breaker = FaultSwitch(), CircuitBreaker("feature_store", open_s=0.2)
    config = ETA_PRESETS[settings.preset]
    patient = replace(
        config,
        serve=replace(config.serve, deadline_ms=PATIENCE_MS, feature_timeout_ms=PATIENCE_MS, cache_drivers=0),
        route=replace(config.route, speeds_ttl_s=PATIENCE_MS, fewest_probes=0.0),
    )
    shared = SharedParts(settings, breaker, Bulkhead("feature_store", workers=2, queue=2), faults)
    service = EtaBootstrap(shared, patient).load(read_release(settings.design_root("eta_prediction")))

    def requests() -> list[tuple[EtaQuery, int, int]]:
        knobs: list[dict[str, Any]] = [
            {},
            {"model": "network", "calibration": "last_4"},
            {"model": "boosters", "calibration": "none", "found_with": "profile"},
            {"model": "corrected_route", "found_with": "distance"},
            {"model": "network", "fewest_probes": 100_000.0, "explore_share": 1.0, "quote_quantile": 0.8},
            {"model": "boosters", "fewest_probes": 100_000.0},
        ]
        return [
            (service.query(ride, turned, driver_id=driver, routes=3, seed=driver or 0), origin, destination)
            for ride, driver, origin, destination in ((0, 7, 120, 900), (1, None, 30, 1_700), (2, 10**12, 1_500, 4))
            for turned in knobs
        ]

    return QuoteSubject("eta_prediction", service, requests, faults)


SUBJECTS: dict[str, Callable[[Settings], Subject]] = {"feed_ranking": feed_subject, "ctr_prediction": ctr_subject}
QUOTE_SUBJECTS: dict[str, Callable[[Settings], QuoteSubject]] = {"eta_prediction": eta_subject}
