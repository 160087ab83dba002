"""Stage 1, retrieve: from all posts alive to about 1,500 that are worth a look. Each source has its own idea of worth.

Sources return rows of the catalogue, best first. Together they must be cheap, and miss little.
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
    """A vector index, possibly with a fault around it."""

    def search(self, vector: Floats, limit: int, *, nprobe: int, ef: int) -> Ids: ...


@dataclass(frozen=True)
class FollowSource:
    """The newest posts of the creators that the user follows."""

    catalogue: Catalogue
    name: str = "follow"

    def fetch(self, query: FeedQuery) -> Ids:
        return self.catalogue.newest_of(query.user.follows[0], query.retrieve.follow_limit)


@dataclass(frozen=True)
class InterestSource:
    """The posts nearest to the user in the two-tower space: interest without a follow."""

    index: Searchable
    name: str = "interest"

    def fetch(self, query: FeedQuery) -> Ids:
        if query.embedding is None:
            return np.empty(0, np.int64)
        knobs = query.retrieve
        return self.index.search(query.embedding, knobs.interest_limit, nprobe=knobs.nprobe, ef=knobs.ef)


@dataclass(frozen=True)
class TrendingSource:
    """What is clicked most right now, half in the user's region and half anywhere: the answer when nothing is known."""

    catalogue: Catalogue
    name: str = "trending"

    def fetch(self, query: FeedQuery) -> Ids:
        regions = self.catalogue.view.trending
        return regions[int(query.user.region[0]) % len(regions)][: query.retrieve.trending_limit]


@dataclass(frozen=True)
class FreshSource:
    """The posts that are too new for the index, by an exact scan; newest first when the user has no vector."""

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
    """Drops what the caller says this user saw already."""

    catalogue: Catalogue
    name: str = "seen"

    def keep(self, query: FeedQuery, candidates: Candidates) -> npt.NDArray[np.bool_]:
        if not len(query.seen):
            return np.ones(len(candidates), bool)
        return np.isin(candidates.ids, self.catalogue.rows_of(query.seen), invert=True)
