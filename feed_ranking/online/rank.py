"""Stage 3, rank: the heavy ranker, with every input, on what the cut has left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from feed_ranking.domain import FeedQuery, Floats
from feed_ranking.model.artifact import worth_s
from infra.errors import DependencyError
from infra.pipeline.candidates import Candidates


@dataclass(frozen=True)
class HeavyRanker:
    """Scores by expected seconds of attention. When it is missing, or `heavy_top_k` is 0, the light score stands."""

    model: Callable[[Floats], Floats]
    name: str = "heavy_ranker"

    def score(self, query: FeedQuery, candidates: Candidates) -> Candidates:
        if query.rank.heavy_top_k == 0 or not len(candidates):
            return candidates
        heads = self.model(candidates.columns["inputs"])
        return candidates.with_columns(score=np.asarray(worth_s(heads, query.objective)))

    def fallback(self, query: FeedQuery, candidates: Candidates, cause: DependencyError) -> Candidates:
        return candidates
