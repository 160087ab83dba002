"""Runs the service in this process, without HTTP, for experiments that repeat the same requests."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import Array, Ints, UserFeatures
from ctr_prediction.model.ad_inputs import seen_of
from ctr_prediction.online.bootstrap import CtrBootstrap
from ctr_prediction.online.cache import CachedUser, CacheMetrics, known_of
from ctr_prediction.online.service import CtrService
from ctr_prediction.online.user import UserHydrator
from infra.evaluation.experiment import Play
from infra.faults.switch import FaultSwitch
from infra.registry.release import Release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.resilience.deadline import Deadline
from infra.serving.shared import SharedParts
from infra.settings import Settings

PATIENCE_MS, FRESH_S = 60_000.0, 60.0
"""deadline of a request in an experiment, long because experiments also measure slow settings; and lifetime of a cache
entry"""


@dataclass(frozen=True)
class PlayedAuction:
    """One response for experiments: `ads` int64[k] from the top; `seen` int64[k], the number of earlier impressions of
    each ad in the features; `p_click`, `price` and `bid` float64[k]."""

    ads: Ints
    seen: Ints
    p_click: Array
    price: Array
    bid: Array
    bidders: Ints
    score: Array
    bidders_seen: Ints


class CtrPlayer:
    """Runs requests against one release, in one thread. The cache is off, because every case has a different user."""

    def __init__(self, release: Path, config: CtrConfig, settings: Settings) -> None:
        self.faults = FaultSwitch()
        breaker = CircuitBreaker("feature_store", open_s=config.serve.breaker_open_s)
        patient = replace(
            config,
            serve=replace(config.serve, feature_timeout_ms=PATIENCE_MS),
            cache=replace(config.cache, cache_ttl_s=0.0),
        )
        bulkhead = Bulkhead("feature_store", workers=1, queue=1)
        shared = SharedParts(settings, breaker, bulkhead, self.faults)
        bootstrap = CtrBootstrap(shared, patient, CacheMetrics(CollectorRegistry()))
        self.service: CtrService = bootstrap.load(Release.read(release))
        hydrator = self.service.pipeline.query_hydrators[0]
        assert isinstance(hydrator, UserHydrator)
        self._hydrator, self.cache = hydrator, self.service.cache
        self._read: dict[int, CachedUser] = {}

    def play(self, case: Any, knobs: Mapping[str, Any], without: Collection[str] = ()) -> Play:
        """An auction for one case. The seed is the number of the case, so all settings receive the same request. The
        impressions in `shown` of the case are added to the user's row of the store."""
        query = self.service.query(
            case.user_id, case.publisher_id, case.device, case.slots, knobs, seed=case.number, at_ts=case.at_ts
        )
        query = replace(query, deadline=Deadline.after_ms(PATIENCE_MS))
        if case.shown:
            self.cache.put(case.user_id, self._known(case.user_id, case.shown))
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
            np.array([item[name] for item in won], np.float64) for name in ("p_click", "price", "bid")
        )
        ads, seen = (np.array([item[name] for item in won], np.int64) for name in ("ad_id", "seen"))
        ranked = outcome.ranked
        score = ranked.columns["score"].astype(np.float64)
        bidders_seen = seen_of(outcome.query.user, ranked.ids, len(self.service.market.bid))
        played = PlayedAuction(ads, seen, p_click, price, bid, ranked.ids, score, bidders_seen)
        return Play(played, wall * 1000, cpu * 1000, outcome.degraded)

    def _known(self, user_id: int, shown: Sequence[int]) -> CachedUser:
        """The user's row of the store with today's impressions `shown` added, as a fresh cache entry."""
        if user_id not in self._read:
            query = replace(self.service.query(user_id, 0, 0, 1, {}), deadline=Deadline.after_ms(PATIENCE_MS))
            found = self._hydrator.hydrate(query)
            self._read[user_id] = found.known
        known = self._read[user_id]
        return known_of(
            user_id,
            with_shown(known.user, shown),
            self.service.market,
            is_cold=known.is_cold,
            feature_ts=known.feature_ts,
            read_s=self.cache.clock() + FRESH_S,
        )


def with_shown(user: UserFeatures, shown: Sequence[int]) -> UserFeatures:
    """The features of one user with today's impressions `shown` added."""
    counts = dict(zip(user.seen_ads[0].tolist(), user.seen_counts[0].tolist(), strict=True))
    today = dict(zip(user.seen_ads[0].tolist(), user.seen_today[0].tolist(), strict=True))
    for ad in shown:
        counts[ad], today[ad] = counts.get(ad, 0) + 1, today.get(ad, 0) + 1
    columns = (np.array([list(values)], np.int64) for values in (counts, counts.values(), today.values()))
    seen_ads, seen_counts, seen_today = columns
    return replace(user, seen_ads=seen_ads, seen_counts=seen_counts, seen_today=seen_today)
