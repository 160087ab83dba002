"""Plays the service in this process, without HTTP: for experiments that ask the same question many times."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import Array, Ints
from ctr_prediction.online.cache import CacheMetrics
from ctr_prediction.online.pipeline import CtrBootstrap, CtrService
from infra.experiment import Play
from infra.faults.switch import FaultSwitch
from infra.registry.release import Release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.resilience.deadline import Deadline
from infra.settings import Settings

PATIENCE_MS = 60_000.0
"""an experiment waits for slow settings: that they are slow is what it wants to see"""


@dataclass(frozen=True)
class Case:
    """A page that someone opens."""

    number: int
    user_id: int
    publisher_id: int
    device: int
    slots: int
    at_ts: float


@dataclass(frozen=True)
class PlayedAuction:
    """One answer as experiments see it: `ads` int64[k] from the top, `p_click`, `price` and `bid` float64[k]."""

    ads: Ints
    p_click: Array
    price: Array
    bid: Array
    bidders: int


class CtrPlayer:
    """One release, asked by one thread. The cache is off: every case is another user."""

    def __init__(self, release: Path, config: CtrConfig, settings: Settings) -> None:
        self.faults = FaultSwitch()
        breaker = CircuitBreaker("feature_store", open_s=config.serve.breaker_open_s)
        patient = replace(
            config,
            serve=replace(config.serve, feature_timeout_ms=PATIENCE_MS),
            cache=replace(config.cache, cache_ttl_s=0.0),
        )
        bulkhead = Bulkhead("feature_store", workers=1, queue=1)
        bootstrap = CtrBootstrap(settings, patient, breaker, bulkhead, self.faults, CacheMetrics(CollectorRegistry()))
        self.service: CtrService = bootstrap.load(Release.read(release))

    def play(self, case: Any, knobs: Mapping[str, Any], without: Collection[str] = ()) -> Play:
        """An auction for one case. Its number is the seed, so every setting is asked the same."""
        query = self.service.query(
            case.user_id, case.publisher_id, case.device, case.slots, knobs, seed=case.number, at_ts=case.at_ts
        )
        query = replace(query, deadline=Deadline.after_ms(PATIENCE_MS))
        for port in without:
            self.faults.inject(port, "down", 0.0)
        try:
            wall, cpu = time.perf_counter(), time.process_time()
            outcome = self.service.answer(query)
            won = self.service.slots_won(outcome)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        finally:
            for port in without:
                self.faults.clear(port)
        p_click, price, bid = (
            np.array([getattr(item, name) for item in won], np.float64) for name in ("p_click", "price", "bid")
        )
        ads = np.array([item.ad_id for item in won], np.int64)
        played = PlayedAuction(ads, p_click, price, bid, len(outcome.ranked))
        return Play(played, wall * 1000, cpu * 1000, outcome.degraded)
