"""Retrieval: from all posts alive to a few hundred worth ranking. Each source has its own idea of worth.

Sources return rows of the snapshot, best first. Together they must be cheap, and miss little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import FeedQuery, Ids
from feed_ranking.snapshot import Snapshot
from infra.pipeline.candidates import Candidates


@dataclass(frozen=True)
class FollowSource:
    """The newest posts of the creators that the user follows."""

    snapshot: Snapshot
    name: str = "follow"

    def fetch(self, query: FeedQuery) -> Ids:
        return self.snapshot.newest_of(query.user.follows[0], query.retrieve.follow_limit)


@dataclass(frozen=True)
class InterestSource:
    """The posts nearest to the user in the two-tower space: interest without a follow."""

    snapshot: Snapshot
    name: str = "interest"

    def fetch(self, query: FeedQuery) -> Ids:
        return self.snapshot.nearest(query.embedding, query.retrieve.interest_limit)


@dataclass(frozen=True)
class TrendingSource:
    """What is clicked most right now, by anyone: the answer when nothing is known of the user."""

    snapshot: Snapshot
    name: str = "trending"

    def fetch(self, query: FeedQuery) -> Ids:
        return self.snapshot.trending[: query.retrieve.trending_limit]


@dataclass(frozen=True)
class UnseenFilter:
    """Drops what the caller says this user saw already."""

    snapshot: Snapshot
    name: str = "seen"

    def keep(self, query: FeedQuery, candidates: Candidates) -> npt.NDArray[np.bool_]:
        seen = self.snapshot.rows_of(query.seen)
        return np.isin(candidates.ids, seen, invert=True)
