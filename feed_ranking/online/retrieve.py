"""Stage 1, retrieve: candidate sources select about 1,500 of all live posts.

Each source has its own ranking criterion and returns rows of the catalogue, best first. The union must be cheap to
compute and must have a high recall.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import FeedQuery, Floats, Ids
from feed_ranking.items.catalog import Catalogue
from infra.pipeline.candidates import Candidates


class Searchable(Protocol):
    """A vector index, possibly wrapped in a fault."""

    def search(self, vector: Floats, limit: int, *, nprobe: int, ef: int) -> Ids: ...


@dataclass(frozen=True)
class FollowSource:
    """Fetches the newest posts of the creators that the user follows."""

    catalogue: Catalogue
    name: str = "follow"

    def fetch(self, query: FeedQuery) -> Ids:
        return self.catalogue.newest_of(query.user.follows[0], query.retrieve.follow_limit)


@dataclass(frozen=True)
class InterestSource:
    """Fetches the posts nearest to the user in the two-tower space, also by creators that the user does not follow."""

    index: Searchable
    name: str = "interest"

    def fetch(self, query: FeedQuery) -> Ids:
        if query.embedding is None:
            return np.empty(0, np.int64)
        knobs = query.retrieve
        return self.index.search(query.embedding, knobs.interest_limit, nprobe=knobs.nprobe, ef=knobs.ef)


@dataclass(frozen=True)
class TrendingSource:
    """Fetches the hottest posts, half from the ranking of the user's region and half from the global one. Works without
    user features."""

    catalogue: Catalogue
    name: str = "trending"

    def fetch(self, query: FeedQuery) -> Ids:
        regions = self.catalogue.view.trending
        return regions[int(query.user.region[0]) % len(regions)][: query.retrieve.trending_limit]


@dataclass(frozen=True)
class FreshSource:
    """Fetches posts newer than the index by an exact scan. Orders them by time if the user has no vector."""

    catalogue: Catalogue
    name: str = "fresh"

    def fetch(self, query: FeedQuery) -> Ids:
        rows = self.catalogue.unindexed()
        if query.embedding is None:
            return rows[::-1][: query.retrieve.fresh_limit]
        score = self.catalogue.embeddings(rows) @ query.embedding
        return rows[np.argsort(-score, kind="stable")[: query.retrieve.fresh_limit]]


@dataclass(frozen=True)
class UnseenFilter:
    """Removes the posts that the request lists as seen."""

    catalogue: Catalogue
    name: str = "seen"

    def keep(self, query: FeedQuery, candidates: Candidates) -> npt.NDArray[np.bool_]:
        if not len(query.seen):
            return np.ones(len(candidates), bool)
        return np.isin(candidates.ids, self.catalogue.rows_of(query.seen), invert=True)
