"""Hydration: adds what the rankers read of each candidate.

The light ranker reads a few inputs of more than a thousand candidates, and the heavy ranker reads all inputs of the few
that pass the cut. A hydrator before each of them gathers no more than that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from feed_ranking.domain import FeedQuery, Floats, Ids
from feed_ranking.items.catalog import Catalogue
from feed_ranking.model.inputs import (
    CUT_NAMES,
    Context,
    Priors,
    light_inputs,
    light_side,
    post_inputs,
    ranker_inputs,
    side_names,
)
from infra.errors import DependencyError, FeatureStoreUnavailable
from infra.pipeline.candidates import Candidates

ReadStats = Callable[[Ids, Ids], Floats]
"""(post ids, creator ids) -> float32[n, STATS]"""


@dataclass(frozen=True)
class LightHydrator:
    """Adds `light` float32[n, LIGHT_NAMES], `tower_score` and the columns `CUT_NAMES`.

    The counts come from the catalogue. With the knob `hydration` = feast they come from the feature store
    (`read_stats`, None in builds without naive hydration), and are added as `stats` float32[n, STATS].
    """

    catalogue: Catalogue
    priors: Priors
    read_stats: ReadStats | None = None
    name: str = "light_inputs"

    def hydrate(self, query: FeedQuery, candidates: Candidates) -> Candidates:
        if query.rank.hydration == "feast":
            return self._with_inputs(query, candidates.with_columns(stats=self._naive_stats(candidates)))
        return self._with_inputs(query, candidates)

    def fallback(self, query: FeedQuery, candidates: Candidates, cause: DependencyError) -> Candidates:
        return self._with_inputs(query, candidates)

    def _naive_stats(self, candidates: Candidates) -> Floats:
        if self.read_stats is None:
            raise FeatureStoreUnavailable(
                "post columns are not in the feature store; run: lab build feed_ranking --with-naive-hydration"
            )
        return self.read_stats(self.catalogue.post_id(candidates.ids), self.catalogue.creator_id(candidates.ids))

    def _with_inputs(self, query: FeedQuery, candidates: Candidates) -> Candidates:
        view, topics = self.catalogue.view, self.priors.topics
        posts = view.light_posts(candidates.ids)
        if "stats" in candidates.columns:
            whole = replace(view.posts(candidates.ids), stats=np.asarray(candidates.columns["stats"], np.float32))
            posts = replace(posts, side=light_side(whole.stats, post_inputs(whole, self.priors), topics))
        tower_score = tower_score_of(query, view.embeddings(candidates.ids))
        light = light_inputs(
            query.user, posts, tower_score, context_of(query, posts.creator_id), self.priors, query.user_topics
        )
        of_cut = {name: posts.side[:, side_names(topics).index(name)] for name in CUT_NAMES}
        return candidates.with_columns(light=light, tower_score=tower_score, **of_cut)


@dataclass(frozen=True)
class InputHydrator:
    """Adds `inputs` float32[n, ranker inputs] and `stats_ts`, the as-of time of their counts.

    It needs the columns of `LightHydrator`. Counts that arrive between the two are only in `inputs`, which are those of
    one view: the counts of a new post also change its embedding, so `tower_score` is computed again.
    """

    catalogue: Catalogue
    priors: Priors
    name: str = "inputs"

    def hydrate(self, query: FeedQuery, candidates: Candidates) -> Candidates:
        view = self.catalogue.view
        posts = view.posts(candidates.ids)
        if "stats" in candidates.columns:
            posts = replace(posts, stats=np.asarray(candidates.columns["stats"], np.float32))
            item_side = post_inputs(posts, self.priors)
        else:
            item_side = view.item_side(candidates.ids)
        tower_score = tower_score_of(query, view.embeddings(candidates.ids))
        context = context_of(query, posts.creator_id)
        inputs = ranker_inputs(
            query.user, posts, item_side, tower_score, context, self.priors, topics=query.user_topics
        )
        as_of = np.full(len(candidates), view.stats_ts, np.float64)
        return candidates.with_columns(inputs=inputs, tower_score=tower_score, stats_ts=as_of)

    def fallback(self, query: FeedQuery, candidates: Candidates, cause: DependencyError) -> Candidates:
        return self.hydrate(query, candidates)


def tower_score_of(query: FeedQuery, embeddings: Floats) -> Floats:
    """float32[n]: the dot products of the user's embedding and those of n posts; zeros without a user's embedding."""
    if query.embedding is None:
        return np.zeros(len(embeddings), np.float32)
    found: Floats = embeddings @ query.embedding
    return found


def context_of(query: FeedQuery, creator_id: Ids) -> Context:
    """The context of a request for posts by the creators `creator_id` int64[n]."""
    seen_before = (query.seen_creators[:, None] == creator_id).sum(axis=0)
    return Context(query.now_ts, len(query.seen), seen_before)
