"""The catalogue that a service serves from: the snapshot's rows, and behind them the posts that came since.

Posts are only ever added, and a row keeps its meaning as long as the service lives; so a request needs no lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import CREATOR_COLUMNS, POST_COLUMNS, STATS, Floats, Ids, PostFeatures
from feed_ranking.inputs import Priors, post_inputs, post_tower_inputs
from feed_ranking.snapshot import Rows, Snapshot
from infra.errors import LabError

CAPACITY = 20_000


class CatalogueFull(LabError):
    """No room for more new posts until the next release, which will hold them in its snapshot."""


@dataclass(frozen=True)
class NewPost:
    """A post as its creator publishes it, with what a content model saw of it. `published_ts` in seconds, UTC."""

    post_id: int
    creator_id: int
    topic: int
    media: int
    quality_signal: float
    bait_signal: float
    published_ts: float


class Catalogue:
    """All posts that can be candidates now. Rows below `len(snapshot)` are the snapshot's."""

    def __init__(self, snapshot: Snapshot, priors: Priors, embed: Callable[[Floats], Floats]) -> None:
        self.snapshot = snapshot
        self._priors, self._embed = priors, embed
        self._lock = threading.Lock()
        self._new = _Columns.empty(snapshot)
        self._rows: dict[int, int] = {}
        self.count = 0

    def __len__(self) -> int:
        return len(self.snapshot) + self.count

    def add(self, posts: Sequence[NewPost]) -> int:
        """Make posts visible to the next request; returns how many were new. Those that are known are left as they are.

        Raises `CatalogueFull` when there is no room, and what the post tower raises.
        """
        with self._lock:
            fresh = list({post.post_id: post for post in posts if self.row_of(post.post_id) is None}.values())
            if self.count + len(fresh) > CAPACITY:
                raise CatalogueFull(f"{CAPACITY:,} new posts are held already", hint="build a new index")
            if fresh:
                features = self._features(fresh)
                item_side = post_inputs(features, self._priors)
                embeddings = self._embed(post_tower_inputs(features, item_side))
                ids = np.array([post.post_id for post in fresh], np.int64)
                self._new.write(self.count, ids, features, item_side, embeddings)
                for place, post in enumerate(fresh):
                    self._rows[post.post_id] = len(self.snapshot) + self.count + place
                self.count += len(fresh)
            return len(fresh)

    def row_of(self, post_id: int) -> int | None:
        row = self.snapshot.row_of(post_id)
        return self._rows.get(post_id) if row is None else row

    def rows_of(self, post_ids: Ids) -> Rows:
        """The rows of those ids that are here."""
        found = [self.row_of(post_id) for post_id in post_ids.tolist()]
        return np.array([row for row in found if row is not None], np.int64)

    def newest_of(self, creators: Ids, limit: int) -> Rows:
        """The newest rows of these creators together, newest first, at most `limit`."""
        if limit == 0:
            return np.empty(0, np.int64)
        if self.count == 0:
            return self.snapshot.newest_of(creators, limit)
        mine = np.flatnonzero(np.isin(self._new.creator_id[: self.count], creators))[::-1][:limit]
        older = self.snapshot.newest_of(creators, limit - len(mine))
        return np.concatenate([mine + len(self.snapshot), older])

    def unindexed(self) -> Rows:
        """The rows that are too new for the index, oldest first."""
        return np.arange(self.snapshot.indexed, len(self))

    def post_id(self, rows: Rows) -> Ids:
        return self._gather("post_id", self.snapshot.post_id, rows)

    def creator_id(self, rows: Rows) -> Ids:
        return self.column("creator_id", rows)

    def column(self, name: str, rows: Rows) -> npt.NDArray[Any]:
        """One field of `PostFeatures` at these rows."""
        return self._gather(name, getattr(self.snapshot.posts, name), rows)

    def posts(self, rows: Rows) -> PostFeatures:
        return PostFeatures(*(self.column(name, rows) for name in PostFeatures.__annotations__))

    def item_side(self, rows: Rows) -> Floats:
        return self._gather("item_side", self.snapshot.item_side, rows)

    def embeddings(self, rows: Rows) -> Floats:
        return self._gather("embeddings", self.snapshot.embeddings, rows)

    def _gather(self, name: str, old: npt.NDArray[Any], rows: Rows) -> npt.NDArray[Any]:
        if self.count == 0:
            return old[rows]
        is_new = rows >= len(self.snapshot)
        if not is_new.any():
            return old[rows]
        out = old[np.where(is_new, 0, rows)]
        out[is_new] = getattr(self._new, name)[rows[is_new] - len(self.snapshot)]
        return out

    def _features(self, posts: Sequence[NewPost]) -> PostFeatures:
        """What is known of new posts: their content and their creator; nobody has seen them yet."""
        snapshot = self.snapshot
        creator = np.array([post.creator_id for post in posts], np.int64)
        is_known = creator < len(snapshot.creator_stats)
        of_creator = np.where(is_known[:, None], snapshot.creator_stats[np.where(is_known, creator, 0)], 0.0)
        stats = np.zeros((len(posts), len(STATS)), np.float32)
        stats[:, STATS.index("quality_signal")] = [post.quality_signal for post in posts]
        stats[:, STATS.index("bait_signal")] = [post.bait_signal for post in posts]
        stats[:, len(POST_COLUMNS) : len(POST_COLUMNS) + len(CREATOR_COLUMNS)] = of_creator
        return PostFeatures(
            creator_id=creator,
            topic=np.array([post.topic for post in posts], np.int64),
            media=np.array([post.media for post in posts], np.int64),
            creator_region=np.where(is_known, snapshot.creators_region[np.where(is_known, creator, 0)], 0),
            published_ts=np.array([post.published_ts for post in posts], np.float64),
            stats=stats,
        )


@dataclass(frozen=True)
class _Columns:
    """Room for `CAPACITY` rows beside the snapshot's; see there for the shapes."""

    post_id: Ids
    creator_id: Ids
    topic: Ids
    media: Ids
    creator_region: Ids
    published_ts: npt.NDArray[np.float64]
    stats: Floats
    item_side: Floats
    embeddings: Floats

    @classmethod
    def empty(cls, snapshot: Snapshot) -> _Columns:
        like = {"post_id": snapshot.post_id, **vars(snapshot.posts)}
        like |= {"item_side": snapshot.item_side, "embeddings": snapshot.embeddings}
        return cls(**{name: np.zeros((CAPACITY, *old.shape[1:]), old.dtype) for name, old in like.items()})

    def write(self, at: int, ids: Ids, posts: PostFeatures, item_side: Floats, embeddings: Floats) -> None:
        rows = slice(at, at + len(ids))
        self.post_id[rows], self.item_side[rows], self.embeddings[rows] = ids, item_side, embeddings
        for name in PostFeatures.__annotations__:
            getattr(self, name)[rows] = getattr(posts, name)
