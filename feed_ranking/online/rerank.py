"""Stage 4, rerank: applies the list-wise rules of `model/slate_policy.py` to the ranked candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feed_ranking.domain import RANDOM_POLICY, FeedQuery
from feed_ranking.items.catalog import Catalogue
from feed_ranking.model.slate_policy import (
    Filled,
    ad_places,
    draw_slate,
    fill_at_random,
    fill_slots,
    first_of_each,
    is_by_new_creator,
    rank_in_group,
    slate_propensity,
    with_freshness,
    with_repeat_discount,
)
from infra.pipeline.candidates import Candidates

__all__ = [
    "Filled",
    "SlateSelector",
    "ad_places",
    "fill_at_random",
    "fill_slots",
    "first_of_each",
    "rank_in_group",
    "slate_propensity",
    "with_freshness",
    "with_repeat_discount",
]


@dataclass(frozen=True)
class SlateSelector:
    """Selects the organic part of the slate: freshness, repeat discount, then one post per position. Ads fill the other
    positions."""

    catalogue: Catalogue
    topics: int
    name: str = "slate"

    def select(self, query: FeedQuery, candidates: Candidates) -> tuple[Candidates, dict[str, int]]:
        unique = candidates.take(first_of_each(candidates.ids))
        filled = draw_slate(
            unique.columns["score"],
            self.catalogue.creator_id(unique.ids),
            (query.now_ts - self.catalogue.column("published_ts", unique.ids)) / 3600,
            is_by_new_creator(unique.columns["inputs"], self.topics),
            query.k,
            query.rerank,
            query.seed,
            uniform=query.policy == RANDOM_POLICY,
        )
        slate = unique.take(filled.chosen).with_columns(
            propensity=filled.propensity.astype(np.float32), explored=filled.explored.astype(np.float32)
        )
        removed = {"double": len(candidates) - len(unique), "below_the_slate": len(unique) - len(slate)}
        return slate, removed
