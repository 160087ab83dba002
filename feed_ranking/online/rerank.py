"""Re-ranking: a slate is more than its best posts. Rules that look at the whole list stand here.

Each rule is a pure function on arrays, so that its promise can be tested by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import FeedQuery
from feed_ranking.snapshot import Snapshot
from infra.pipeline.candidates import Candidates


def within_creator_cap(creators: npt.NDArray[np.int64], cap: int) -> npt.NDArray[np.bool_]:
    """bool[n]: True for the first `cap` appearances of each creator in `creators` int64[n], best first."""
    order = np.argsort(creators, kind="stable")
    ordered = creators[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else np.empty(0, np.intp)
    rank_in_group = np.arange(len(ordered)) - np.repeat(starts, np.diff(np.r_[starts, len(ordered)]))
    keep = np.empty(len(creators), bool)
    keep[order] = rank_in_group < cap
    return keep


@dataclass(frozen=True)
class SlateSelector:
    """Highest score first, at most `creator_cap` posts of one creator, `k` posts in all. Ties keep retrieval order."""

    snapshot: Snapshot
    name: str = "slate"

    def select(self, query: FeedQuery, candidates: Candidates) -> tuple[Candidates, dict[str, int]]:
        ranked = candidates.take(np.argsort(-candidates.columns["score"], kind="stable"))
        allowed = ranked.take(within_creator_cap(self.snapshot.posts.creator_id[ranked.ids], query.rerank.creator_cap))
        slate = allowed.take(np.arange(min(query.k, len(allowed))))
        removed = {"creator_cap": len(ranked) - len(allowed), "below_the_slate": len(allowed) - len(slate)}
        return slate, removed
