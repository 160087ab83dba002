"""Stage 2, cut: the light ranker scores every candidate and keeps the best for the heavy ranker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import RANDOM_POLICY, FeedQuery, Floats
from feed_ranking.model.artifact import worth_s
from feed_ranking.model.inputs import ranker_names
from feed_ranking.model.slate_policy import is_by_new_creator
from infra.errors import DependencyError
from infra.pipeline.candidates import Candidates

NEW_CREATORS_KEPT = 50
"""posts by new creators that pass the cut while exploration is on; otherwise exploration would have no candidates"""


def popularity(inputs: Floats, topics: int) -> Floats:
    """float32[n]: observed seconds of attention per impression of each post. Needs no model."""
    worth: Floats = np.exp(inputs[:, ranker_names(topics).index("post_worth_log")])
    return worth


def best(score: Floats, count: int) -> npt.NDArray[np.bool_]:
    """bool[n]: True for the `count` highest scores; ties go to the lower index."""
    keep = np.zeros(len(score), bool)
    keep[np.argsort(-score, kind="stable")[:count]] = True
    return keep


@dataclass(frozen=True)
class LightRanker:
    """Scores candidates with the small network. If the network is unavailable, it scores by popularity."""

    model: Callable[[Floats], Floats]
    columns: list[int]
    topics: int
    name: str = "light_ranker"

    def score(self, query: FeedQuery, candidates: Candidates) -> Candidates:
        if not len(candidates):
            return candidates.with_columns(score=np.empty(0, np.float32))
        heads = self.model(np.ascontiguousarray(candidates.columns["inputs"][:, self.columns]))
        return candidates.with_columns(score=worth_s(heads, query.objective))

    def fallback(self, query: FeedQuery, candidates: Candidates, cause: DependencyError) -> Candidates:
        return candidates.with_columns(score=popularity(candidates.columns["inputs"], self.topics))

    def keep(self, query: FeedQuery, candidates: Candidates) -> npt.NDArray[np.bool_] | None:
        top_k, score = query.rank.heavy_top_k, candidates.columns["score"]
        if top_k == 0 or len(candidates) <= top_k:
            return None
        if query.policy == RANDOM_POLICY:  # the randomised bucket needs a random pool, too
            chance = np.random.default_rng([query.seed, 3]).random(len(candidates))
            return best(chance.astype(np.float32), top_k)
        keep = best(score, top_k)
        if query.rerank.epsilon > 0:
            new = is_by_new_creator(candidates.columns["inputs"], self.topics)
            keep |= new & best(np.where(new, score, -np.inf).astype(np.float32), NEW_CREATORS_KEPT)
        return keep
