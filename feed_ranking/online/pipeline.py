"""The feed's request path, in order. Read this file first."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from feed_ranking.config import FeedConfig, ObjectiveConfig, RankConfig, RerankConfig, RetrieveConfig
from feed_ranking.domain import RANDOM_POLICY, SERVING_POLICY, FeedQuery, SlateItem, UserFeatures
from feed_ranking.features.views import default_user, naive_reader, open_store
from feed_ranking.items.catalog import CAPACITY, Catalogue, NewPost
from feed_ranking.items.live_counts import LiveStats
from feed_ranking.items.snapshot import open_snapshot
from feed_ranking.model.artifact import Bundle, load_bundle, load_what_is_whole
from feed_ranking.model.inputs import priors_from
from feed_ranking.online.cut import ScoreCut
from feed_ranking.online.inputs import InputHydrator, ReadStats
from feed_ranking.online.light_rank import LightRanker
from feed_ranking.online.rank import HeavyRanker
from feed_ranking.online.rerank import SlateSelector, ad_places
from feed_ranking.online.retrieve import FollowSource, FreshSource, InterestSource, TrendingSource, UnseenFilter
from feed_ranking.online.user import InterestHydrator, UserHydrator
from infra.errors import DependencyError
from infra.faults.switch import FaultSwitch, SwitchedFeatureStore, SwitchedIndex, SwitchedModel
from infra.feature_store.guarded import GuardedFeatures
from infra.feature_store.port import OnlineFeatures
from infra.live.clock import WorldClock
from infra.pipeline.runner import CandidatePipeline, Outcome
from infra.pipeline.stages import StageNames
from infra.registry.release import Release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.resilience.deadline import Deadline
from infra.settings import Settings

S = TypeVar("S", RetrieveConfig, RankConfig, ObjectiveConfig, RerankConfig)
log = logging.getLogger(__name__)
WARM_UP_MS = 5_000
STAGES = StageNames(query="query", source="retrieve", filter="filter", hydrate="hydrate", select="rerank")


def build_pipeline(
    features: GuardedFeatures,
    catalogue: Catalogue,
    bundle: Bundle,
    faults: FaultSwitch,
    read_stats: ReadStats | None = None,
) -> CandidatePipeline[FeedQuery]:
    """Who asks → retrieve what might fit → drop what was seen → cut → rank → re-rank into a slate."""
    priors, topics = bundle.priors, bundle.priors.topics
    tower = SwitchedModel(bundle.user_tower, "user_tower", faults)
    light = SwitchedModel(bundle.light, "light_ranker", faults)
    heavy = SwitchedModel(bundle.heavy, "heavy_ranker", faults)
    return CandidatePipeline(
        names=STAGES,
        query_hydrators=[UserHydrator(features, priors), InterestHydrator(tower, priors)],
        sources=[
            FollowSource(catalogue),
            InterestSource(SwitchedIndex(catalogue.snapshot.index, faults)),
            TrendingSource(catalogue),
            FreshSource(catalogue),
        ],
        filters=[UnseenFilter(catalogue)],
        hydrators=[InputHydrator(catalogue, priors, read_stats)],
        scorers={"cut": LightRanker(light, bundle.light_columns, topics), "rank": HeavyRanker(heavy)},
        cuts={"cut": ScoreCut(topics)},
        selector=SlateSelector(catalogue, topics),
    )


@dataclass(frozen=True)
class FeedService:
    """One release, ready to answer. A new release makes a new one; only its catalogue grows."""

    pipeline: CandidatePipeline[FeedQuery]
    catalogue: Catalogue
    bundle: Bundle
    config: FeedConfig
    clock: WorldClock
    model_version: str

    def query(
        self, user_id: int, k: int, seen: list[int], knobs: Mapping[str, Any], seed: int | None = None
    ) -> FeedQuery:
        """A query with the request's knobs put in the place of the configured ones, and a seed if it has none."""
        seen_ids = np.array(seen, np.int64)
        seed = secrets.randbits(53) if seed is None else seed
        rules = turned(self.config.rerank, knobs)
        is_random = np.random.default_rng([seed, 2]).random() < rules.randomised_share
        return FeedQuery(
            user_id=user_id,
            k=k,
            seen=seen_ids,
            now_ts=self.clock.now(),
            seed=seed,
            deadline=Deadline.after_ms(self.config.serve.deadline_ms),
            retrieve=turned(self.config.retrieve, knobs),
            rank=turned(self.config.rank, knobs),
            objective=turned(self.config.objective, knobs),
            rerank=rules,
            user=self.nobody,
            slate_id=secrets.randbits(52),
            policy=RANDOM_POLICY if is_random else SERVING_POLICY,
            knobs=knobs,
            seen_creators=self.catalogue.creator_id(self.catalogue.rows_of(seen_ids)),
        )

    def answer(self, query: FeedQuery) -> Outcome[FeedQuery]:
        query.deadline.check("the pipeline")
        return self.pipeline.run(query)

    def known_post(self, post_id: int) -> dict[str, Any] | None:
        """What is known of a post that can be a candidate; None if it cannot."""
        row = self.catalogue.row_of(post_id)
        if row is None:
            return None
        posts = self.catalogue.posts(np.array([row]))
        return {
            "post_id": post_id,
            "creator_id": int(posts.creator_id[0]),
            "topic": int(posts.topic[0]),
            "published_ts": float(posts.published_ts[0]),
        }

    def items(self, outcome: Outcome[FeedQuery]) -> list[SlateItem]:
        """The slate's rows as posts, with ads in the places that were left for them."""
        query, rules, slate = outcome.query, outcome.query.rerank, outcome.slate
        places = ad_places(query.k, rules.ads, rules.ad_gap)
        ads = int(self.catalogue.snapshot.meta["ads"])
        drawn = iter(np.random.default_rng([query.seed, 1]).integers(0, ads, len(places)).tolist())
        posts = zip(
            self.catalogue.post_id(slate.ids).tolist(),
            self.catalogue.creator_id(slate.ids).tolist(),
            self.catalogue.column("topic", slate.ids).tolist(),
            slate.columns["score"].tolist(),
            slate.columns["propensity"].tolist(),
            slate.columns["explored"].tolist(),
            slate.sources.tolist(),
            strict=True,
        )
        items: list[SlateItem] = []
        for post, creator, topic, score, propensity, explored, bits in posts:
            if len(items) in places:
                items.append(SlateItem(len(items), None, None, None, next(drawn), 0.0, 1 / ads, False, ()))
            found_by = tuple(name for bit, name in enumerate(self.source_names) if bits >> bit & 1)
            place = len(items)
            items.append(
                SlateItem(
                    place, post, creator, topic, None, round(score, 4), round(propensity, 6), bool(explored), found_by
                )
            )
        return items

    @cached_property
    def nobody(self) -> UserFeatures:
        """Who asks, until it is known."""
        return default_user(self.bundle.priors.topics)

    @cached_property
    def source_names(self) -> list[str]:
        return [source.name for source in self.pipeline.sources]


@dataclass
class FeedBootstrap:
    """Makes a service from a release. Breaker, bulkhead and faults are shared by all releases of the process, and so
    are the posts that were handed in: a release that does not hold them yet gets them behind its own."""

    settings: Settings
    config: FeedConfig
    breaker: CircuitBreaker
    bulkhead: Bulkhead
    faults: FaultSwitch
    saw_age_s: Callable[[float], None] | None = None
    clock: WorldClock | None = None
    """the world's, where it goes on whatever is released; by default each release starts one at the end of its log"""
    stats_path: Path | None = None
    handed: deque[NewPost] = field(default_factory=lambda: deque(maxlen=CAPACITY))

    def load(
        self, release: Release, *, features: OnlineFeatures | None = None, without_damaged: bool = False
    ) -> FeedService:
        """Verify and load every part. Raises `CorruptArtifact`; a store that is down only degrades.

        `without_damaged` is for a service that serves nothing yet: a damaged network or index is left out, and every
        answer says so. A damaged catalogue is always refused.
        """
        path, digest = Path(release.index_path), release.model_digest
        snapshot = open_snapshot(path, model_digest=digest, without_index=without_damaged)
        if without_damaged:
            bundle = load_what_is_whole(Path(release.model_path), digest, priors_from(snapshot.meta))
        else:
            bundle = load_bundle(Path(release.model_path), digest)
        clock = self.clock or WorldClock(release.world_now)
        clock.at_least(release.world_now)
        guarded = GuardedFeatures(
            inner=SwitchedFeatureStore(
                features or open_store(Path(release.features_path), self.settings, online_only=True), self.faults
            ),
            breaker=self.breaker,
            bulkhead=self.bulkhead,
            timeout_ms=self.config.serve.feature_timeout_ms,
            ttl_s=self.config.features.ttl_h * 3600,
            clock=clock,
            saw_age_s=self.saw_age_s,
        )
        version = f"{release.model_name}/{release.model_version}"
        catalogue = Catalogue(snapshot, bundle.priors, bundle.post_tower, release.world_now)
        read_stats = naive_reader(Path(release.naive_path), self.settings) if release.naive_path else None
        pipeline = build_pipeline(guarded, catalogue, bundle, self.faults, read_stats)
        service = FeedService(pipeline, catalogue, bundle, self.config, clock, version)
        self._catch_up(service)
        self._warm(guarded, service)
        return service

    def publish(self, service: FeedService | None, posts: Sequence[NewPost]) -> int:
        """Make new posts visible to the next request, and to the releases after this one.

        Raises `CatalogueFull` when there is no room.
        """
        self.handed.extend(posts)
        return 0 if service is None else service.catalogue.add(posts)

    def count(self, service: FeedService | None, stats: LiveStats) -> None:
        """Serve these counts from now on. Those of a time that has not come were written by a worker that ran on while
        nobody asked, before all was stopped; the one of now will write others, and they would stand in its way."""
        if service is not None and stats.stats_ts <= service.clock.now():
            service.catalogue.apply(stats)

    def _catch_up(self, service: FeedService) -> None:
        """What has happened since the release was built."""
        if self.handed:
            service.catalogue.add(list(self.handed))
        if self.stats_path is not None:
            with contextlib.suppress(OSError, ValueError):  # nothing was counted yet
                self.count(service, LiveStats.read(self.stats_path))

    @staticmethod
    def _warm(features: GuardedFeatures, service: FeedService) -> None:
        """Ask once before anyone else does: the first read opens connections, the first run allocates."""
        try:
            features.bulkhead.run(lambda: features.inner.read_online(0), Deadline.after_ms(WARM_UP_MS))
        except DependencyError as exc:
            log.warning("starting without the feature store, answers will be degraded: %s", exc)
        service.answer(replace(service.query(0, 20, [], {}), deadline=Deadline.after_ms(WARM_UP_MS)))


def turned(stage: S, knobs: Mapping[str, Any]) -> S:
    """A stage's configuration with those of its fields that `knobs` names replaced."""
    own = {item.name for item in fields(stage)}
    changes = {name: value for name, value in knobs.items() if name in own}
    return replace(stage, **changes) if changes else stage
