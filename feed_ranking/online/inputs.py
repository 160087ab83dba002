"""Hydration between retrieval and ranking: gathers the ranker inputs of all candidates once for both rankers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from feed_ranking.domain import FeedQuery, Floats, Ids
from feed_ranking.items.catalog import Catalogue
from feed_ranking.model.inputs import Context, Priors, post_inputs, ranker_inputs
from infra.errors import DependencyError, FeatureStoreUnavailable
from infra.pipeline.candidates import Candidates

ReadStats = Callable[[Ids, Ids], Floats]
"""(post ids, creator ids) -> float32[n, STATS]"""


@dataclass(frozen=True)
class InputHydrator:
    """Adds `inputs` float32[n, ranker inputs] and `stats_ts`, the as-of time of their counts.

    The inputs come from the catalogue. With the knob `hydration` = feast they come from the feature store
    (`read_stats`, None in builds without naive hydration).
    """

    catalogue: Catalogue
    priors: Priors
    read_stats: ReadStats | None = None
    name: str = "inputs"

    def hydrate(self, query: FeedQuery, candidates: Candidates) -> Candidates:
        if query.rank.hydration == "feast":
            return self._with_inputs(query, candidates, self._naive_stats(candidates))
        return self._with_inputs(query, candidates, None)

    def fallback(self, query: FeedQuery, candidates: Candidates, cause: DependencyError) -> Candidates:
        return self._with_inputs(query, candidates, None)

    def _naive_stats(self, candidates: Candidates) -> Floats:
        if self.read_stats is None:
            raise FeatureStoreUnavailable(
                "post columns are not in the feature store; run: lab build feed_ranking --with-naive-hydration"
            )
        return self.read_stats(self.catalogue.post_id(candidates.ids), self.catalogue.creator_id(candidates.ids))

    def _with_inputs(self, query: FeedQuery, candidates: Candidates, stats: Floats | None) -> Candidates:
        view = self.catalogue.view
        posts = view.posts(candidates.ids)
        if stats is None:
            item_side = view.item_side(candidates.ids)
        else:
            posts = replace(posts, stats=stats)
            item_side = post_inputs(posts, self.priors)
        if query.embedding is None:
            tower_score = np.zeros(len(candidates), np.float32)
        else:
            tower_score = view.embeddings(candidates.ids) @ query.embedding
        seen_before = (query.seen_creators[:, None] == posts.creator_id).sum(axis=0)
        context = Context(query.now_ts, len(query.seen), seen_before)
        inputs = ranker_inputs(query.user, posts, item_side, tower_score, context, self.priors)
        as_of = np.full(len(candidates), view.stats_ts, np.float64)
        return candidates.with_columns(inputs=inputs, stats_ts=as_of)
