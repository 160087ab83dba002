"""Runs the service in this process, without HTTP, for experiments that repeat the same requests."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from feed_ranking.config import FeedConfig
from feed_ranking.domain import AD, FeedQuery, PlayedSlate
from feed_ranking.online.bootstrap import FeedBootstrap
from feed_ranking.online.service import FeedService
from infra.evaluation.experiment import Play
from infra.faults.switch import FaultSwitch
from infra.pipeline.runner import Outcome
from infra.registry.release import Release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.resilience.deadline import Deadline
from infra.serving.shared import SharedParts
from infra.settings import Settings

SLATE = 20
PATIENCE_MS = 60_000.0
"""deadline of a request in an experiment; long, because experiments also measure slow settings"""


class FeedPlayer:
    """Runs requests against one release, in one thread."""

    def __init__(self, release: Path, config: FeedConfig, settings: Settings) -> None:
        self.faults = FaultSwitch()
        breaker = CircuitBreaker("feature_store", open_s=config.serve.breaker_open_s)
        patient = replace(config, serve=replace(config.serve, feature_timeout_ms=PATIENCE_MS))
        bulkhead = Bulkhead("feature_store", workers=1, queue=1)
        bootstrap = FeedBootstrap(SharedParts(settings, breaker, bulkhead, self.faults), patient)
        self.service: FeedService = bootstrap.load(Release.read(release))

    def play(self, case: int, knobs: Mapping[str, Any], without: Collection[str] = ()) -> Play:
        """A slate of 20 for user `case`. The seed is the user's id, so all settings receive the same request."""
        query = replace(
            self.service.query(int(case), SLATE, [], knobs, seed=int(case)), deadline=Deadline.after_ms(PATIENCE_MS)
        )
        for port in without:
            self.faults.inject(port, "down", 0.0)
        try:
            wall, cpu = time.perf_counter(), time.process_time()
            outcome = self.service.answer(query)
            items = self.service.items(outcome)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        finally:
            for port in without:
                self.faults.clear(port)
        slate = np.array([AD if item.post_id is None else item.post_id for item in items], np.int64)
        return Play(self._played(slate, outcome), wall * 1000, cpu * 1000, outcome.degraded)

    def _played(self, slate: np.ndarray[Any, Any], outcome: Outcome[FeedQuery]) -> PlayedSlate:
        catalogue, ranked, pool = self.service.catalogue, outcome.ranked, outcome.pool
        order = np.argsort(-ranked.columns["score"], kind="stable")
        names = [source.name for source in self.service.pipeline.sources]
        found = {
            name: catalogue.post_id(pool.ids[(pool.sources >> bit & 1).astype(bool)]) for bit, name in enumerate(names)
        }
        return PlayedSlate(slate, catalogue.post_id(ranked.ids[order]), found)
