"""The post catalogue of a service: the rows of the snapshot, followed by posts published since.

The catalogue only grows, and a row number stays valid for the life of the service. `apply` replaces all counts at once.
A request takes one *view* and reads every column from it, so the columns are consistent and no lock is needed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import CREATOR_COLUMNS, POST_COLUMNS, STATS, Floats, Ids, PostFeatures
from feed_ranking.items.live_counts import CONTENT, COUNTED, LiveStats
from feed_ranking.items.snapshot import Rows, Snapshot
from feed_ranking.model.inputs import LightPosts, Priors, light_side, post_inputs, post_tower_inputs
from infra.errors import LabError

CAPACITY = 20_000


class CatalogueFull(LabError):
    """The catalogue holds `CAPACITY` new posts and accepts no more until the next release."""


@dataclass(frozen=True)
class NewPost:
    """A post as its creator publishes it, with the signals of a content model. `published_ts` in seconds, UTC."""

    post_id: int
    creator_id: int
    topic: int
    media: int
    quality_signal: float
    bait_signal: float
    published_ts: float


@dataclass(frozen=True)
class View:
    """The columns of all posts as of one time: the snapshot's rows first, then the new posts."""

    snapshot: Snapshot
    old: Mapping[str, npt.NDArray[Any]]
    new: _Columns
    creator_stats: Floats
    trending: Sequence[Rows]
    """for each region: its hottest rows interleaved with the hottest rows of all regions, without duplicates"""
    stats_ts: float

    def post_id(self, rows: Rows) -> Ids:
        return self.column("post_id", rows)

    def creator_id(self, rows: Rows) -> Ids:
        return self.column("creator_id", rows)

    def posts(self, rows: Rows) -> PostFeatures:
        return PostFeatures(*(self.column(name, rows) for name in PostFeatures.__annotations__))

    def light_posts(self, rows: Rows) -> LightPosts:
        names = ("creator_id", "topic", "published_ts", "light_side")
        return LightPosts(*(self.column(name, rows) for name in names))

    def item_side(self, rows: Rows) -> Floats:
        return self.column("item_side", rows)

    def embeddings(self, rows: Rows) -> Floats:
        return self.column("embeddings", rows)

    def column(self, name: str, rows: Rows) -> npt.NDArray[Any]:
        """One field of `PostFeatures`, or `post_id`, `item_side`, `light_side`, `embeddings`, at `rows`."""
        old = self.old[name]
        is_new = rows >= len(old)
        if not is_new.any():
            return old[rows]
        out = old[np.where(is_new, 0, rows)]
        out[is_new] = getattr(self.new, name)[rows[is_new] - len(old)]
        return out


class Catalogue:
    """All posts that can be candidates now. Rows below `len(snapshot)` belong to the snapshot. `now_ts` is the time as
    of which the counts are computed."""

    def __init__(
        self, snapshot: Snapshot, priors: Priors, embed: Callable[[Floats], Floats], now_ts: float = 0.0
    ) -> None:
        self.snapshot = snapshot
        self._priors, self._embed = priors, embed
        self._lock = threading.Lock()
        old = {"post_id": snapshot.post_id, **vars(snapshot.posts)}
        side = light_side(snapshot.posts.stats, snapshot.item_side, priors.topics)
        old |= {"item_side": snapshot.item_side, "light_side": side, "embeddings": snapshot.embeddings}
        trending = interleave(snapshot.trending)
        self.view = View(snapshot, old, _Columns.like(old), snapshot.creator_stats, trending, now_ts)
        self._rows: dict[int, int] = {}
        self.count = 0

    def __len__(self) -> int:
        return len(self.snapshot) + self.count

    def add(self, posts: Sequence[NewPost]) -> int:
        """Make posts visible to the next request; returns the number of new posts.

        The first post with an id keeps it, as in the worker and in a build: known and expired posts are not changed.
        Raises `CatalogueFull` when the capacity is exceeded, and the errors of the post tower.
        """
        with self._lock:
            first: dict[int, NewPost] = {}
            for post in posts:
                if self._is_free(post.post_id):
                    first.setdefault(post.post_id, post)
            fresh = list(first.values())
            if self.count + len(fresh) > CAPACITY:
                raise CatalogueFull(f"the catalogue already holds {CAPACITY:,} new posts", hint="build a new index")
            if fresh:
                features = self._features(fresh)
                ids = np.array([post.post_id for post in fresh], np.int64)
                self.view.new.write(self.count, ids, features, **self._computed(features))
                for place, post in enumerate(fresh):
                    self._rows[post.post_id] = len(self.snapshot) + self.count + place
                self.count += len(fresh)
            return len(fresh)

    def apply(self, stats: LiveStats) -> bool:
        """Replace all counts. Posts that `stats` lacks get zero counts. Returns False if `stats` is not newer."""
        with self._lock:
            if stats.stats_ts <= self.view.stats_ts:
                return False
            snapshot, new, count = self.snapshot, self.view.new, self.count
            posts = PostFeatures(*(getattr(snapshot.posts, name) for name in PostFeatures.__annotations__))
            older = self._counted(np.asarray(snapshot.post_id), posts, stats)
            younger = self._counted(new.post_id[:count], new.head(count), stats)
            old = dict(self.view.old) | {"stats": older.stats, "creator_region": older.creator_region}
            old |= self._computed(older)
            columns = _Columns.like(old)
            if count:
                columns.write(0, new.post_id[:count], younger, **self._computed(younger))
            rows = [self.rows_of(ids) for ids in stats.trending]
            shortest = min(len(found) for found in rows)
            trending = interleave(np.stack([found[:shortest] for found in rows]))
            self.view = View(snapshot, old, columns, stats.creators, trending, stats.stats_ts)
            return True

    def _computed(self, posts: PostFeatures) -> dict[str, Floats]:
        """The columns that are computed from `posts`. Raises the errors of the post tower."""
        item_side = post_inputs(posts, self._priors)
        side = light_side(posts.stats, item_side, self._priors.topics)
        embeddings = self._embed(post_tower_inputs(posts, item_side))
        return {"item_side": item_side, "light_side": side, "embeddings": embeddings}

    def _counted(self, ids: Ids, posts: PostFeatures, stats: LiveStats) -> PostFeatures:
        """`posts` with the counts of `stats`, and zeros for posts that `stats` lacks."""
        table = np.vstack([stats.posts, np.zeros((1, len(COUNTED)), np.float32)])
        order = np.argsort(stats.post_id, kind="stable")
        place = np.minimum(np.searchsorted(stats.post_id, ids, sorter=order), max(len(order) - 1, 0))
        found = order[place] if len(order) else np.zeros(len(ids), np.int64)
        at = np.where(stats.post_id[found] == ids, found, len(stats.post_id)) if len(order) else found
        columns = np.array(posts.stats, np.float32)
        columns[:, [STATS.index(name) for name in COUNTED]] = table[at]
        is_known = posts.creator_id < len(stats.creators)
        of_creator = np.where(is_known[:, None], stats.creators[np.where(is_known, posts.creator_id, 0)], 0.0)
        columns[:, len(POST_COLUMNS) :] = of_creator
        return replace(posts, stats=columns)

    def refusal(self, post: NewPost) -> str:
        """The reason why `post` cannot have its id, or the empty string. A known post may be published again."""
        if self.snapshot.is_expired(post.post_id):
            return f"post {post.post_id} already exists and has expired; choose another id"
        row = self.row_of(post.post_id)
        if row is None or self._is_same(post, row):
            return ""
        return f"post {post.post_id} already exists with other content; choose another id"

    def _is_same(self, post: NewPost, row: int) -> bool:
        """True if the post at `row` has the content of `post`. The time of publication is not compared."""
        known = self.posts(np.array([row]))
        signals = [np.float32(getattr(post, name)) == known.stats[0, STATS.index(name)] for name in CONTENT]
        ids = (post.creator_id, post.topic, post.media)
        return all(signals) and ids == (known.creator_id[0], known.topic[0], known.media[0])

    def _is_free(self, post_id: int) -> bool:
        return self.row_of(post_id) is None and not self.snapshot.is_expired(post_id)

    def row_of(self, post_id: int) -> int | None:
        row = self.snapshot.row_of(post_id)
        return self._rows.get(post_id) if row is None else row

    def rows_of(self, post_ids: Ids) -> Rows:
        """The rows of those `post_ids` that the catalogue holds."""
        rows = self.snapshot.rows_of(post_ids)
        if self.count:
            for place in np.flatnonzero(rows < 0).tolist():
                rows[place] = self._rows.get(int(post_ids[place]), -1)
        return rows[rows >= 0]

    def newest_of(self, creators: Ids, limit: int) -> Rows:
        """The newest rows of all `creators` together, newest first, at most `limit`."""
        if limit == 0:
            return np.empty(0, np.int64)
        if self.count == 0:
            return self.snapshot.newest_of(creators, limit)
        mine = np.flatnonzero(np.isin(self.view.new.creator_id[: self.count], creators))[::-1][:limit]
        older = self.snapshot.newest_of(creators, limit - len(mine))
        return np.concatenate([mine + len(self.snapshot), older])

    def unindexed(self) -> Rows:
        """The rows newer than the index, oldest first."""
        return np.arange(self.snapshot.indexed, len(self))

    def post_id(self, rows: Rows) -> Ids:
        return self.view.post_id(rows)

    def creator_id(self, rows: Rows) -> Ids:
        return self.view.creator_id(rows)

    def column(self, name: str, rows: Rows) -> npt.NDArray[Any]:
        return self.view.column(name, rows)

    def posts(self, rows: Rows) -> PostFeatures:
        return self.view.posts(rows)

    def item_side(self, rows: Rows) -> Floats:
        return self.view.item_side(rows)

    def embeddings(self, rows: Rows) -> Floats:
        return self.view.embeddings(rows)

    def _features(self, posts: Sequence[NewPost]) -> PostFeatures:
        """Features of new posts: content and creator features; all counts of the posts are zero."""
        snapshot = self.snapshot
        creator = np.array([post.creator_id for post in posts], np.int64)
        known = self.view.creator_stats
        is_known = creator < len(known)
        of_creator = np.where(is_known[:, None], known[np.where(is_known, creator, 0)], 0.0)
        is_old = creator < len(snapshot.creators_region)
        stats = np.zeros((len(posts), len(STATS)), np.float32)
        stats[:, STATS.index("quality_signal")] = [post.quality_signal for post in posts]
        stats[:, STATS.index("bait_signal")] = [post.bait_signal for post in posts]
        stats[:, len(POST_COLUMNS) : len(POST_COLUMNS) + len(CREATOR_COLUMNS)] = of_creator
        return PostFeatures(
            creator_id=creator,
            topic=np.array([post.topic for post in posts], np.int64),
            media=np.array([post.media for post in posts], np.int64),
            creator_region=np.where(is_old, snapshot.creators_region[np.where(is_old, creator, 0)], 0),
            published_ts=np.array([post.published_ts for post in posts], np.float64),
            stats=stats,
        )


@dataclass(frozen=True)
class _Columns:
    """Preallocated columns for `CAPACITY` new posts. `Snapshot` documents the shapes."""

    post_id: Ids
    creator_id: Ids
    topic: Ids
    media: Ids
    creator_region: Ids
    published_ts: npt.NDArray[np.float64]
    stats: Floats
    item_side: Floats
    light_side: Floats
    embeddings: Floats

    @classmethod
    def like(cls, columns: Mapping[str, npt.NDArray[Any]]) -> _Columns:
        """Empty columns with the types and widths of `columns`."""
        return cls(**{name: np.zeros((CAPACITY, *old.shape[1:]), old.dtype) for name, old in columns.items()})

    def head(self, count: int) -> PostFeatures:
        """The first `count` rows."""
        return PostFeatures(*(getattr(self, name)[:count] for name in PostFeatures.__annotations__))

    def write(
        self, at: int, ids: Ids, posts: PostFeatures, item_side: Floats, light_side: Floats, embeddings: Floats
    ) -> None:
        rows = slice(at, at + len(ids))
        self.post_id[rows], self.item_side[rows], self.embeddings[rows] = ids, item_side, embeddings
        self.light_side[rows] = light_side
        for name in PostFeatures.__annotations__:
            getattr(self, name)[rows] = getattr(posts, name)


def interleave(trending: Rows) -> list[Rows]:
    """For each region: its own ranking interleaved with the global one (the first row), without duplicates."""
    everywhere, *regions = trending
    turns = [np.stack([here, everywhere], axis=1).ravel() for here in regions]
    return [both[np.sort(np.unique(both, return_index=True)[1])] for both in turns]
