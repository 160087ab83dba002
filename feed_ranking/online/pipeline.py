"""The feed's request path, in order. Read this file first."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from feed_ranking.bundle import Bundle, load_bundle
from feed_ranking.config import FeedConfig, RerankConfig, RetrieveConfig
from feed_ranking.domain import FeedQuery, SlateItem
from feed_ranking.features import default_user, open_store
from feed_ranking.online.query import UserHydrator
from feed_ranking.online.rank import ClickRanker, TowerHydrator
from feed_ranking.online.rerank import SlateSelector
from feed_ranking.online.retrieve import FollowSource, InterestSource, TrendingSource, UnseenFilter
from feed_ranking.snapshot import Snapshot, open_snapshot
from infra.clock import WorldClock
from infra.errors import DependencyError
from infra.faults.switch import FaultSwitch, SwitchedFeatureStore
from infra.feature_store.guarded import GuardedFeatures
from infra.feature_store.port import OnlineFeatures
from infra.pipeline.runner import CandidatePipeline, Outcome
from infra.registry.release import Release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.resilience.deadline import Deadline

S = TypeVar("S", RetrieveConfig, RerankConfig)
log = logging.getLogger(__name__)
WARM_UP_MS = 5_000


def build_pipeline(features: GuardedFeatures, snapshot: Snapshot, bundle: Bundle) -> CandidatePipeline[FeedQuery]:
    """Who asks → what might fit → drop what was seen → score → build the slate."""
    return CandidatePipeline(
        query_hydrators=[UserHydrator(features, bundle)],
        sources=[FollowSource(snapshot), InterestSource(snapshot), TrendingSource(snapshot)],
        filters=[UnseenFilter(snapshot)],
        hydrators=[TowerHydrator(snapshot)],
        scorer=ClickRanker(snapshot, bundle),
        selector=SlateSelector(snapshot),
    )


@dataclass(frozen=True)
class FeedService:
    """One release, ready to answer. Immutable; a new release makes a new one."""

    pipeline: CandidatePipeline[FeedQuery]
    snapshot: Snapshot
    bundle: Bundle
    config: FeedConfig
    clock: WorldClock
    model_version: str

    def query(self, user_id: int, k: int, seen: list[int], knobs: Mapping[str, float]) -> FeedQuery:
        """A query with the request's knobs put in the place of the configured ones."""
        return FeedQuery(
            user_id=user_id,
            k=k,
            seen=np.array(seen, np.int64),
            now_ts=self.clock.now(),
            deadline=Deadline.after_ms(self.config.serve.deadline_ms),
            retrieve=turned(self.config.retrieve, knobs),
            rerank=turned(self.config.rerank, knobs),
            user=default_user(self.bundle.meta),
        )

    def answer(self, query: FeedQuery) -> Outcome[FeedQuery]:
        query.deadline.check("the pipeline")
        return self.pipeline.run(query)

    def items(self, outcome: Outcome[FeedQuery]) -> list[SlateItem]:
        """The slate's rows as posts."""
        slate, names = outcome.slate, [source.name for source in self.pipeline.sources]
        return [
            SlateItem(
                position=position,
                post_id=int(self.snapshot.post_id[row]),
                creator_id=int(self.snapshot.posts.creator_id[row]),
                topic=int(self.snapshot.posts.topic[row]),
                score=round(float(slate.columns["score"][position]), 6),
                sources=tuple(name for bit, name in enumerate(names) if slate.sources[position] >> bit & 1),
            )
            for position, row in enumerate(slate.ids.tolist())
        ]


@dataclass(frozen=True)
class FeedBootstrap:
    """Makes a service from a release. Breaker, bulkhead and faults are shared by all releases of the process."""

    config: FeedConfig
    breaker: CircuitBreaker
    bulkhead: Bulkhead
    faults: FaultSwitch

    def load(self, release: Release, *, features: OnlineFeatures | None = None) -> FeedService:
        """Verify and load every part. Raises `CorruptArtifact`; a store that is down only degrades."""
        bundle = load_bundle(Path(release.model_path), release.model_digest)
        snapshot = open_snapshot(Path(release.index_path), model_digest=release.model_digest)
        clock = WorldClock(release.world_now)
        guarded = GuardedFeatures(
            inner=SwitchedFeatureStore(
                features or open_store(Path(release.features_path), online_only=True), self.faults
            ),
            breaker=self.breaker,
            bulkhead=self.bulkhead,
            timeout_ms=self.config.serve.feature_timeout_ms,
            ttl_s=self.config.features.ttl_h * 3600,
            clock=clock,
        )
        version = f"{release.model_name}/{release.model_version}"
        service = FeedService(build_pipeline(guarded, snapshot, bundle), snapshot, bundle, self.config, clock, version)
        self._warm(guarded, service)
        return service

    @staticmethod
    def _warm(features: GuardedFeatures, service: FeedService) -> None:
        """Ask once before anyone else does: the first read opens connections, the first run allocates."""
        try:
            features.bulkhead.run(lambda: features.inner.read_online(0), Deadline.after_ms(WARM_UP_MS))
        except DependencyError as exc:
            log.warning("starting without the feature store, answers will be degraded: %s", exc)
        service.answer(replace(service.query(0, 20, [], {}), deadline=Deadline.after_ms(WARM_UP_MS)))


def turned(stage: S, knobs: Mapping[str, float]) -> S:
    """A stage's configuration with those of its fields that `knobs` names replaced."""
    own = {item.name for item in fields(stage)}
    changes: dict[str, Any] = {name: value for name, value in knobs.items() if name in own}
    return replace(stage, **changes)
