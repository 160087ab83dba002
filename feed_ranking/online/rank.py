"""Ranking: the probability of a click for each candidate, if the user looks at it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feed_ranking.bundle import Bundle
from feed_ranking.domain import FeedQuery
from feed_ranking.features import ranker_inputs
from feed_ranking.snapshot import Snapshot
from infra.pipeline.candidates import Candidates


@dataclass(frozen=True)
class TowerHydrator:
    """Adds `tower_score`, the dot product of user and post embedding, which only the interest source knew."""

    snapshot: Snapshot
    name: str = "tower_score"

    def hydrate(self, query: FeedQuery, candidates: Candidates) -> Candidates:
        score = self.snapshot.embeddings[candidates.ids] @ query.embedding
        return candidates.with_columns(tower_score=np.asarray(score, np.float32))


@dataclass(frozen=True)
class ClickRanker:
    """Gathers the features of all candidates from the snapshot and scores them in one call."""

    snapshot: Snapshot
    bundle: Bundle
    name: str = "click_ranker"

    def score(self, query: FeedQuery, candidates: Candidates) -> Candidates:
        if not len(candidates):
            return candidates.with_columns(score=np.empty(0, np.float32))
        posts = self.snapshot.posts.take(candidates.ids)
        x = ranker_inputs(query.user, posts, candidates.columns["tower_score"], query.now_ts)
        return candidates.with_columns(score=self.bundle.ranker(x))
