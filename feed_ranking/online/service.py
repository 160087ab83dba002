"""One loaded release of the feed: creates queries, runs the pipeline, and converts slates to items."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from feed_ranking.config import FeedConfig
from feed_ranking.domain import RANDOM_POLICY, SERVING_POLICY, FeedQuery, SlateItem, UserFeatures
from feed_ranking.features.views import default_user
from feed_ranking.items.catalog import Catalogue
from feed_ranking.model.artifact import Bundle
from feed_ranking.online.rerank import ad_places
from feed_ranking.online.user import UserHydrator
from infra.design import stage_with_knobs
from infra.live.clock import WorldClock
from infra.pipeline.runner import CandidatePipeline, Outcome
from infra.pipeline.trace import Trace
from infra.resilience.deadline import Deadline


@dataclass(frozen=True)
class FeedService:
    """One loaded release. A new release gets a new service. Only the catalogue of a service grows."""

    pipeline: CandidatePipeline[FeedQuery]
    user: UserHydrator
    catalogue: Catalogue
    bundle: Bundle
    config: FeedConfig
    clock: WorldClock
    model_version: str
    of_host: Callable[[], Mapping[str, Any]] = dict
    """knobs of this host, which replace the configured ones of the stages retrieve and rank"""

    def query(
        self, user_id: int, k: int, seen: list[int], knobs: Mapping[str, Any], seed: int | None = None
    ) -> FeedQuery:
        """Create a query. The request's `knobs` override the configured ones. If `seed` is None, a random one is
        drawn."""
        seen_ids = np.array(seen, np.int64)
        seed = secrets.randbits(53) if seed is None else seed
        rules, turned = stage_with_knobs(self.config.rerank, knobs), {**self.of_host(), **knobs}
        is_random = np.random.default_rng([seed, 2]).random() < rules.randomised_share
        return FeedQuery(
            user_id=user_id,
            k=k,
            seen=seen_ids,
            now_ts=self.clock.now(),
            seed=seed,
            deadline=Deadline.after_ms(self.config.serve.deadline_ms),
            retrieve=stage_with_knobs(self.config.retrieve, turned),
            rank=stage_with_knobs(self.config.rank, turned),
            objective=stage_with_knobs(self.config.objective, knobs),
            rerank=rules,
            user=self.default_user,
            slate_id=secrets.randbits(52),
            policy=RANDOM_POLICY if is_random else SERVING_POLICY,
            knobs=knobs,
            seen_creators=self.catalogue.creator_id(self.catalogue.rows_of(seen_ids)),
        )

    def answer(self, query: FeedQuery, trace: Trace | None = None) -> Outcome[FeedQuery]:
        """Run the pipeline. `trace` holds what was done before it for this request."""
        query.deadline.check("the pipeline")
        return self.pipeline.run(query, trace)

    def known_post(self, post_id: int) -> dict[str, Any] | None:
        """Return id, creator, topic and publication time of a post in the catalogue; None if it has no such post."""
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
        """Convert the slate to items, with ads in the ad positions."""
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
    def default_user(self) -> UserFeatures:
        """The features of a user before the feature store is read."""
        return default_user(self.bundle.priors.topics)

    @cached_property
    def source_names(self) -> list[str]:
        return [source.name for source in self.pipeline.sources]
