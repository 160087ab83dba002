"""One loaded release of the ads: creates queries, runs the pipeline, and lists the filled slots."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import RANDOM_POLICY, SERVING_POLICY, AdQuery, Array, Context, Ints
from ctr_prediction.features.views import default_user
from ctr_prediction.items.catalog import Market
from ctr_prediction.model.artifact import Bundle
from ctr_prediction.model.auction import chance
from ctr_prediction.online.cache import FeatureCache
from ctr_prediction.online.predict import p_everywhere
from ctr_prediction.online.user import UserHydrator
from infra.design import stage_with_knobs
from infra.live.clock import WorldClock
from infra.pipeline.candidates import Candidates
from infra.pipeline.runner import CandidatePipeline, Outcome
from infra.pipeline.trace import Trace
from infra.resilience.deadline import Deadline

WON = ("p_click", "bid", "price", "propensity", "seen")
DEFAULT_USER = default_user()


@dataclass(frozen=True)
class CtrService:
    """One loaded release. A new release gets a new service. Only the counts of the service's market change."""

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
        """Create a query. The request's `knobs` override the configured ones. If `seed` is None, a random one is
        drawn."""
        drawn = secrets.randbits(53 + 48)  # one system call for seed and id
        seed = drawn >> 48 if seed is None else seed
        rules, config = stage_with_knobs(self.config.auction, knobs), self.config
        is_random = chance(seed) < rules.randomised_share
        return AdQuery(
            user_id=user_id,
            slots=slots,
            context=Context.one(publisher, device, self.clock.now() if at_ts is None else at_ts),
            seed=seed,
            deadline=Deadline.after_ms(config.serve.deadline_ms),
            target=stage_with_knobs(config.target, knobs),
            predict=stage_with_knobs(config.predict, knobs),
            auction=rules,
            user=DEFAULT_USER,
            auction_id=drawn & (1 << 48) - 1,
            policy=RANDOM_POLICY if is_random else SERVING_POLICY,
            knobs=knobs,
            exclude=tuple(exclude),
            candidates=candidates,
            bids=bids or {},
            view=self.market.view,
        )

    async def answer_soon(self, query: AdQuery) -> Outcome[AdQuery]:
        """Answer a query in an event loop: await the feature store read, then run the pipeline in the loop's thread.
        The computation is shorter than a switch to another thread and back."""
        query.deadline.check("the pipeline")
        trace = Trace()
        return self.pipeline.run(await self.user.read_before(query, trace), trace)

    def answer(self, query: AdQuery) -> Outcome[AdQuery]:
        query.deadline.check("the pipeline")
        return self.pipeline.run(query)

    def score(self, query: AdQuery, trace: Trace) -> tuple[AdQuery, Array]:
        """Return the hydrated query, and float64[n, SLOTS]: p(click) of the query's n distinct candidates in each slot,
        in order, without an auction."""
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
        """The slate in display order, with the fields of `WonOut`."""
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
        """The ids in `ads` that are not in this service's snapshot."""
        return [ad for ad in ads if ad >= len(self.market.snapshot.campaign)]
