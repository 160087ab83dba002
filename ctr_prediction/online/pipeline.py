"""The request path of the ads, in order. Read this file first."""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ctr_prediction.config import AuctionConfig, CtrConfig, PredictConfig, TargetConfig
from ctr_prediction.domain import RANDOM_POLICY, SERVING_POLICY, SLOTS, AdQuery, Array, Context, Ints
from ctr_prediction.features.views import default_user, open_store
from ctr_prediction.items.catalog import Market
from ctr_prediction.items.live_counts import LiveStats
from ctr_prediction.items.snapshot import open_snapshot
from ctr_prediction.model.artifact import NETWORKS, Bundle, load_bundle, load_what_is_whole
from ctr_prediction.model.auction import chance
from ctr_prediction.model.student import Student
from ctr_prediction.online.auction import AuctionSelector
from ctr_prediction.online.cache import CacheMetrics, FeatureCache
from ctr_prediction.online.predict import ClickPredictor, InputHydrator, p_everywhere
from ctr_prediction.online.target import BudgetFilter, ExcludeFilter, FrequencyCapFilter, TargetingSource
from ctr_prediction.online.user import STAGE, UserHydrator
from infra.errors import CorruptArtifact, DependencyError
from infra.faults.switch import FaultSwitch, SwitchedFeatureStore, SwitchedModel
from infra.feature_store.guarded import GuardedFeatures
from infra.feature_store.port import OnlineFeatures
from infra.live.clock import WorldClock
from infra.pipeline.candidates import Candidates
from infra.pipeline.runner import CandidatePipeline, Outcome
from infra.pipeline.stages import StageNames
from infra.pipeline.trace import Trace
from infra.registry.release import Release
from infra.resilience.breaker import CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.resilience.deadline import Deadline
from infra.settings import Settings

S = TypeVar("S", TargetConfig, PredictConfig, AuctionConfig)
log = logging.getLogger(__name__)
WARM_UP_MS = 5_000
STAGES = StageNames(query=STAGE, source="target", filter="filter", hydrate="hydrate", select="auction")
WON = ("p_click", "bid", "price", "propensity", "seen")
PORTS = {"student": "student", "teacher": "teacher", "naive": "naive_model"}


def build_pipeline(
    user: UserHydrator, market: Market, bundle: Bundle, faults: FaultSwitch
) -> CandidatePipeline[AdQuery]:
    """Who is there → who may bid → who has money, is not worn out and is wanted → how likely are clicks → auction."""
    student = bundle.student.of_sums if isinstance(bundle.student, Student) else bundle.student
    found = {name: getattr(bundle, name) for name in NETWORKS} | {"student": student}
    networks = {name: SwitchedModel(network, PORTS[name], faults) for name, network in found.items()}
    return CandidatePipeline(
        names=STAGES,
        query_hydrators=[user],
        sources=[TargetingSource(market)],
        filters=[BudgetFilter(market), FrequencyCapFilter(), ExcludeFilter()],
        hydrators=[InputHydrator(bundle, market)],
        scorers={"predict": ClickPredictor(bundle, networks)},
        selector=AuctionSelector(market, bundle),
    )


@dataclass(frozen=True)
class CtrService:
    """One release, ready to answer. A new release makes a new one; only its market's counts move on."""

    pipeline: CandidatePipeline[AdQuery]
    user: UserHydrator
    cache: FeatureCache
    market: Market
    bundle: Bundle
    config: CtrConfig
    clock: WorldClock
    model_version: str

    def query(
        self,
        user_id: int,
        publisher: int,
        device: int,
        slots: int,
        knobs: Mapping[str, Any],
        *,
        seed: int | None = None,
        exclude: Sequence[int] = (),
        candidates: Ints | None = None,
        bids: Mapping[int, float] | None = None,
        at_ts: float | None = None,
    ) -> AdQuery:
        """A query with the request's knobs put in the place of the configured ones, and a seed if it has none."""
        drawn = secrets.randbits(53 + 48)  # at once: each asks the system
        seed = drawn >> 48 if seed is None else seed
        rules, config = turned(self.config.auction, knobs), self.config
        is_random = chance(seed) < rules.randomised_share
        return AdQuery(
            user_id=user_id,
            slots=slots,
            context=Context.one(publisher, device, self.clock.now() if at_ts is None else at_ts),
            seed=seed,
            deadline=Deadline.after_ms(config.serve.deadline_ms),
            target=turned(config.target, knobs),
            predict=turned(config.predict, knobs),
            auction=rules,
            user=NOBODY,
            auction_id=drawn & (1 << 48) - 1,
            policy=RANDOM_POLICY if is_random else SERVING_POLICY,
            knobs=knobs,
            exclude=tuple(exclude),
            candidates=candidates,
            bids=bids or {},
            view=self.market.view,
        )

    async def answer_soon(self, query: AdQuery) -> Outcome[AdQuery]:
        """As `answer`, for an event loop: what is waited for is awaited, and the rest is shorter than the way to a
        thread and back."""
        query.deadline.check("the pipeline")
        trace = Trace()
        return self.pipeline.run(await self.user.read_before(query, trace), trace)

    def answer(self, query: AdQuery) -> Outcome[AdQuery]:
        query.deadline.check("the pipeline")
        return self.pipeline.run(query)

    def score(self, query: AdQuery, trace: Trace) -> tuple[AdQuery, Array]:
        """float64[n, SLOTS]: p(click) of the query's candidates in each slot, without an auction; each ad once, in
        their order. Also the query with what became known."""
        pipeline = self.pipeline
        for step in pipeline.query_hydrators:
            query = pipeline.hydrate_query(step, query, trace)
        assert query.candidates is not None
        found = Candidates(query.candidates, np.ones(len(query.candidates), np.uint32))
        for hydrator in pipeline.hydrators:
            found = pipeline.hydrate(hydrator, query, found, trace)
        for stage, scorer in pipeline.scorers.items():
            found = pipeline.score(stage, scorer, query, found, trace)
        return query, p_everywhere(self.bundle, query, found)

    def slots_won(self, outcome: Outcome[AdQuery]) -> list[dict[str, Any]]:
        """The slate as it is shown, from the top, in the shape of `WonOut`."""
        slate, snapshot = outcome.slate, self.market.snapshot
        ads, column = slate.ids, {name: slate.columns[name].tolist() for name in WON}
        campaign, creative = snapshot.campaign.take(ads).tolist(), snapshot.creative.take(ads).tolist()
        return [
            {
                "slot": slot,
                "ad_id": ad,
                "campaign_id": campaign[slot],
                "creative_id": creative[slot],
                "p_click": column["p_click"][slot],
                "bid": column["bid"][slot],
                "ecpm": 1000 * column["p_click"][slot] * column["bid"][slot],
                "price": column["price"][slot],
                "propensity": column["propensity"][slot],
                "seen": column["seen"][slot],
            }
            for slot, ad in enumerate(ads.tolist())
        ]

    def unknown(self, ads: Sequence[int]) -> list[int]:
        """Those of `ads` that this service has never heard of."""
        return [ad for ad in ads if ad >= len(self.market.snapshot.campaign)]


NOBODY = default_user()


@dataclass
class CtrBootstrap:
    """Makes a service from a release. Breaker, bulkhead and faults are shared by all releases of the process."""

    settings: Settings
    config: CtrConfig
    breaker: CircuitBreaker
    bulkhead: Bulkhead
    faults: FaultSwitch
    cache_metrics: CacheMetrics
    saw_age_s: Callable[[float], None] | None = None
    clock: WorldClock | None = None
    """the world's, where it goes on whatever is released; by default each release starts one at the end of its log"""
    stats_path: Path | None = None

    def load(
        self, release: Release, *, features: OnlineFeatures | None = None, without_damaged: bool = False
    ) -> CtrService:
        """Verify and load every part. Raises `CorruptArtifact`; a store that is down only degrades.

        `without_damaged` is for a service that serves nothing yet: a damaged network is left out, and every answer says
        so. Damaged tables or a damaged snapshot are always refused.
        """
        digest, path = release.model_digest, Path(release.model_path)
        snapshot = open_snapshot(Path(release.index_path), model_digest=digest)
        bundle = load_what_is_whole(path, digest) if without_damaged else load_bundle(path, digest)
        if bundle is None:
            raise CorruptArtifact(f"the tables in {path} are damaged", hint="run: lab build ctr_prediction")
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
        cache = FeatureCache(self.config.cache.cache_ttl_s, self.config.cache.cache_users, self.cache_metrics)
        market = Market(snapshot, bundle)
        user = UserHydrator(guarded, cache, market)
        pipeline = build_pipeline(user, market, bundle, self.faults)
        version = f"{release.model_name}/{release.model_version}"
        service = CtrService(pipeline, user, cache, market, bundle, self.config, clock, version)
        if self.stats_path is not None:
            with contextlib.suppress(OSError, ValueError):  # nothing was counted yet
                self.count(service, LiveStats.read(self.stats_path))
        self._warm(guarded, service)
        return service

    def count(self, service: CtrService | None, stats: LiveStats) -> None:
        """Serve these counts from now on. Those of a time that has not come were written by a worker that ran on while
        nobody asked, before all was stopped; the one of now will write others, and they would stand in its way."""
        if service is not None and stats.stats_ts <= service.clock.now():
            service.market.apply(stats)

    @staticmethod
    def _warm(features: GuardedFeatures, service: CtrService) -> None:
        """Ask once before anyone else does: the first read opens connections, the first run allocates."""
        try:
            features.bulkhead.run(lambda: features.inner.read_online(0), Deadline.after_ms(WARM_UP_MS))
        except DependencyError as exc:
            log.warning("starting without the feature store, answers will be degraded: %s", exc)
        for model in ("student", "teacher"):
            query = service.query(0, 0, 0, SLOTS, {"model": model})
            service.answer(replace(query, deadline=Deadline.after_ms(WARM_UP_MS)))


def turned(stage: S, knobs: Mapping[str, Any]) -> S:
    """A stage's configuration with those of its fields that `knobs` names replaced."""
    if not knobs:
        return stage
    own = {item.name for item in fields(stage)}
    changes = {name: value for name, value in knobs.items() if name in own}
    return replace(stage, **changes) if changes else stage
