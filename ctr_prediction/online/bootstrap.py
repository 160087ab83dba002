"""The composition root of the ads: creates a service from a release and registers the faults of its ports."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import SLOTS
from ctr_prediction.features.views import open_store
from ctr_prediction.items.catalog import Market
from ctr_prediction.items.live_counts import LiveStats
from ctr_prediction.items.snapshot import open_snapshot
from ctr_prediction.model.artifact import load_bundle, load_intact_networks
from ctr_prediction.online.cache import CacheMetrics, FeatureCache
from ctr_prediction.online.pipeline import build_pipeline
from ctr_prediction.online.service import CtrService
from ctr_prediction.online.user import UserHydrator
from infra.errors import CorruptArtifact
from infra.faults.catalogue import FEATURE_STORE, STREAM, model_down
from infra.feature_store.port import OnlineFeatures
from infra.registry.release import Release
from infra.resilience.deadline import Deadline
from infra.serving.shared import WARM_UP_MS, SharedParts, warm_store

FAULTS = (
    *FEATURE_STORE,
    model_down("student", "the student network"),
    model_down("teacher", "the teacher network"),
    model_down("naive_model", "the naive network"),
    STREAM,
)


@dataclass
class CtrBootstrap:
    """Creates a service from a release. All releases of a process share `shared` and `cache_metrics`."""

    shared: SharedParts
    config: CtrConfig
    cache_metrics: CacheMetrics

    def __post_init__(self) -> None:
        self.shared.faults.register(FAULTS)

    def load(
        self, release: Release, *, features: OnlineFeatures | None = None, without_damaged: bool = False
    ) -> CtrService:
        """Verify and load every part. Raises `CorruptArtifact`. An unavailable feature store only degrades responses.

        `without_damaged` is for a process without a served release: a damaged network is left out, and every response
        is marked as degraded. Damaged tables or a damaged snapshot always raise.
        """
        digest, path = release.model_digest, Path(release.model_path)
        snapshot = open_snapshot(Path(release.index_path), model_digest=digest)
        bundle = load_intact_networks(path, digest) if without_damaged else load_bundle(path, digest)
        if bundle is None:
            raise CorruptArtifact(f"the tables in {path} are damaged", hint="run: lab build ctr_prediction")
        clock = self.shared.clock_of(release)
        guarded = self.shared.guarded(
            features or open_store(Path(release.features_path), self.shared.settings, online_only=True),
            clock,
            timeout_ms=self.config.serve.feature_timeout_ms,
            ttl_s=self.config.features.ttl_h * 3600,
        )
        cache = FeatureCache(self.config.cache.cache_ttl_s, self.config.cache.cache_users, self.cache_metrics)
        market = Market(snapshot, bundle)
        user = UserHydrator(guarded, cache, market)
        pipeline = build_pipeline(user, market, bundle, self.shared.faults)
        version = f"{release.model_name}/{release.model_version}"
        service = CtrService(pipeline, user, cache, market, bundle, self.config, clock, version)
        if self.shared.stats_path is not None:
            with contextlib.suppress(OSError, ValueError):  # no counts exist yet
                self.count(service, LiveStats.read(self.shared.stats_path))
        warm_store(guarded)
        for model in ("student", "teacher"):
            query = service.query(0, 0, 0, SLOTS, {"model": model})
            service.answer(replace(query, deadline=Deadline.after_ms(WARM_UP_MS)))
        return service

    def count(self, service: CtrService, stats: LiveStats) -> None:
        """Replace the served counts with `stats`.

        Counts with a future timestamp are skipped. They occur after a restart of the whole lab, which sets the clock
        back.
        """
        if stats.stats_ts <= service.clock.now():
            service.market.apply(stats)
