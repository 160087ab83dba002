"""Stage 2, cut: keeps the candidates with the highest light scores for the heavy ranker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import RANDOM_POLICY, FeedQuery, Floats
from feed_ranking.model.slate_policy import is_new
from infra.pipeline.candidates import Candidates

TOO_DEEP = {"heavy_top_k": 25}
"""knobs of a host with too deep a cut, which `lab plant` can plant: the light ranker chooses almost the whole slate"""
NEW_CREATORS_KEPT = 50
"""number of posts by new creators that pass the cut while exploration is on; otherwise the cut would remove them"""


def best(score: Floats, count: int) -> npt.NDArray[np.bool_]:
    """bool[n]: True for the `count` highest scores; among ties, for the first."""
    if count >= len(score):
        return np.ones(len(score), bool)
    if count == 0:
        return np.zeros(len(score), bool)
    cost = -score
    limit = np.partition(cost, count - 1)[count - 1]
    keep: npt.NDArray[np.bool_] = cost < limit
    keep[np.flatnonzero(cost == limit)[: count - np.count_nonzero(keep)]] = True
    return keep


@dataclass(frozen=True)
class ScoreCut:
    """Keeps the `heavy_top_k` highest scores, and the best posts by new creators while exploration is on.

    For a random slate, it draws the candidates at random instead.
    """

    name: str = "cut"

    def keep(self, query: FeedQuery, candidates: Candidates) -> npt.NDArray[np.bool_] | None:
        top_k, score = query.rank.heavy_top_k, candidates.columns["score"]
        if top_k == 0 or len(candidates) <= top_k:
            return None
        if query.policy == RANDOM_POLICY:
            chance = np.random.default_rng([query.seed, 3]).random(len(candidates))
            return best(chance.astype(np.float32), top_k)
        keep = best(score, top_k)
        if query.rerank.epsilon > 0:
            new = is_new(np.asarray(candidates.columns["creator_age_log"], np.float32))
            keep |= new & best(np.where(new, score, -np.inf).astype(np.float32), NEW_CREATORS_KEPT)
        return keep
