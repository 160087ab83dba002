"""Stage 3, rank: the heavy ranker scores the candidates that pass the cut, with all inputs."""

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
    """Scores by expected seconds of attention. If its network is unavailable or `heavy_top_k` is 0, the score of the
    light ranker stays."""

    model: Callable[[Floats], Floats]
    name: str = "heavy_ranker"

    def score(self, query: FeedQuery, candidates: Candidates) -> Candidates:
        if query.rank.heavy_top_k == 0 or not len(candidates):
            return candidates
        heads = self.model(candidates.columns["inputs"])
        return candidates.with_columns(score=np.asarray(worth_s(heads, query.objective)))

    def fallback(self, query: FeedQuery, candidates: Candidates, cause: DependencyError) -> Candidates:
        return candidates
