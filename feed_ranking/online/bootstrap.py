"""The composition root of the feed: creates a service from a release and registers the faults of its ports."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from feed_ranking.config import FeedConfig
from feed_ranking.features.views import naive_reader, open_store
from feed_ranking.items.catalog import CAPACITY, Catalogue, NewPost
from feed_ranking.items.live_counts import LiveStats
from feed_ranking.items.snapshot import open_snapshot
from feed_ranking.model.artifact import load_bundle, load_intact_networks
from feed_ranking.model.inputs import priors_from
from feed_ranking.online.pipeline import build_pipeline
from feed_ranking.online.service import FeedService
from feed_ranking.online.user import UserHydrator
from infra.faults.catalogue import FEATURE_STORE, INDEX, STREAM, model_down
from infra.feature_store.port import OnlineFeatures
from infra.registry.release import Release
from infra.resilience.deadline import Deadline
from infra.serving.shared import WARM_UP_MS, SharedParts, warm_store

FAULTS = (
    *FEATURE_STORE,
    INDEX,
    model_down("user_tower", "the user tower"),
    model_down("light_ranker", "the light ranker"),
    STREAM,
    model_down("heavy_ranker", "the heavy ranker"),
)


@dataclass
class FeedBootstrap:
    """Creates a service from a release.

    All releases of a process share `shared` and the published posts. The bootstrap appends published posts that are
    missing from a release. `of_host` gives the knobs of this host (`FeedService.of_host`).
    """

    shared: SharedParts
    config: FeedConfig
    published: deque[NewPost] = field(default_factory=lambda: deque(maxlen=CAPACITY))
    of_host: Callable[[], Mapping[str, Any]] = dict

    def __post_init__(self) -> None:
        self.shared.faults.register(FAULTS)

    def load(
        self, release: Release, *, features: OnlineFeatures | None = None, without_damaged: bool = False
    ) -> FeedService:
        """Verify and load every part. Raises `CorruptArtifact`. An unavailable feature store only degrades responses.

        `without_damaged` is for a process without a served release: a damaged network or index is left out, and every
        response is marked as degraded. A damaged catalogue always raises.
        """
        path, digest, settings = Path(release.index_path), release.model_digest, self.shared.settings
        snapshot = open_snapshot(path, model_digest=digest, without_index=without_damaged)
        if without_damaged:
            bundle = load_intact_networks(Path(release.model_path), digest, priors_from(snapshot.meta))
        else:
            bundle = load_bundle(Path(release.model_path), digest)
        clock = self.shared.clock_of(release)
        guarded = self.shared.guarded(
            features or open_store(Path(release.features_path), settings, online_only=True),
            clock,
            timeout_ms=self.config.serve.feature_timeout_ms,
            ttl_s=self.config.features.ttl_h * 3600,
        )
        version = f"{release.model_name}/{release.model_version}"
        catalogue = Catalogue(snapshot, bundle.priors, bundle.post_tower, release.world_now)
        read_stats = naive_reader(Path(release.naive_path), settings) if release.naive_path else None
        user = UserHydrator(guarded, bundle.priors)
        pipeline = build_pipeline(user, catalogue, bundle, self.shared.faults, read_stats)
        service = FeedService(pipeline, user, catalogue, bundle, self.config, clock, version, self.of_host)
        self._catch_up(service)
        warm_store(guarded)
        service.answer(replace(service.query(0, 20, [], {}), deadline=Deadline.after_ms(WARM_UP_MS)))
        return service

    def publish(self, services: Sequence[FeedService], posts: Sequence[NewPost]) -> None:
        """Add new posts to the catalogues of these services and of later releases. Raises `CatalogueFull`."""
        self.published.extend(posts)
        for service in services:
            service.catalogue.add(posts)

    def count(self, service: FeedService, stats: LiveStats) -> None:
        """Replace the served counts with `stats`.

        Counts with a future timestamp are skipped. They occur after a restart of the whole lab, which sets the clock
        back.
        """
        if stats.stats_ts <= service.clock.now():
            service.catalogue.apply(stats)

    def _catch_up(self, service: FeedService) -> None:
        """Apply posts and counts that are newer than the release."""
        if self.published:
            service.catalogue.add(list(self.published))
        if self.shared.stats_path is not None:
            with contextlib.suppress(OSError, ValueError):  # no counts exist yet
                self.count(service, LiveStats.read(self.shared.stats_path))
