"""Stage 2, light rank: the light ranker scores every candidate by a few inputs; `cut` then keeps the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from feed_ranking.domain import FeedQuery, Floats
from feed_ranking.model.artifact import worth_s
from infra.errors import DependencyError
from infra.pipeline.candidates import Candidates


def popularity(candidates: Candidates) -> Floats:
    """float32[n]: observed seconds of attention per impression of each post. Needs no model."""
    return np.exp(np.asarray(candidates.columns["post_worth_log"], np.float32))


@dataclass(frozen=True)
class LightRanker:
    """Scores by expected seconds of attention. Without its network, popularity is the score."""

    model: Callable[[Floats], Floats]
    name: str = "light_ranker"

    def score(self, query: FeedQuery, candidates: Candidates) -> Candidates:
        if not len(candidates):
            return candidates.with_columns(score=np.empty(0, np.float32))
        heads = self.model(np.asarray(candidates.columns["light"], np.float32))
        return candidates.with_columns(score=worth_s(heads, query.objective))

    def fallback(self, query: FeedQuery, candidates: Candidates, cause: DependencyError) -> Candidates:
        return candidates.with_columns(score=popularity(candidates))
