"""The posts that can be shown, as memory-mapped arrays with a vector index. Offline code writes it; serving reads it.

Reading the features of every candidate from the feature store would exceed the latency budget, so serving gathers them
from this snapshot. A *row* is an index into its arrays; candidates are rows until the response is built. Newer posts
follow after its rows (`catalog.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from feed_ranking.domain import CREATOR_COLUMNS, STATS, Floats, Ids, PostFeatures
from feed_ranking.items.vector_index import MissingIndex, VectorIndex
from infra.errors import CorruptArtifact
from infra.registry.manifest import is_whole, verify, write_manifest

Rows = npt.NDArray[np.int64]
INDEX_AGAIN = "run: lab build feed_ranking --from index"
INDEX_FILE = "index.faiss"
ARRAYS = ("post_id", "creator_id", "topic", "media", "creator_region", "published_ts", "stats")
EXPIRED = "expired_id"


@dataclass(frozen=True)
class Snapshot:
    """n posts ordered by publication, with `post_id` int64[n]; `by_id` int64[n] lists their rows by ascending id.

    `item_side` float32[n, …] are the inputs of posts and creators, `embeddings` float32[n, d]. The index holds rows 0
    to `indexed` - 1; later rows are newer than the index. `trending` int64[1 + regions, m] are the hottest rows, first
    over all regions, then per region. `creator_stats` float32[creators, CREATOR_COLUMNS] and `creators_region` int64.

    `by_creator` int64[n] lists rows by creator, newest first; the rows of creator c are
    `by_creator[creator_start[c]:creator_start[c + 1]]`.

    `expired_id` int64[any], ascending, are the ids of older posts, which are no candidates any more.
    """

    post_id: Ids
    posts: PostFeatures
    item_side: Floats
    embeddings: Floats
    trending: Rows
    creator_stats: Floats
    creators_region: Ids
    by_id: Rows
    by_creator: Rows
    creator_start: Rows
    expired_id: Ids
    index: VectorIndex | MissingIndex
    indexed: int
    meta: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.post_id)

    def row_of(self, post_id: int) -> int | None:
        place = int(np.searchsorted(self.post_id, post_id, sorter=self.by_id))
        row = int(self.by_id[place]) if place < len(self) else -1
        return row if row >= 0 and self.post_id[row] == post_id else None

    def rows_of(self, post_ids: Ids) -> Rows:
        """int64[n]: the row of each id of `post_ids` int64[n], -1 where the snapshot does not hold the post."""
        if not len(self):
            return np.full(len(post_ids), -1, np.int64)
        place = np.searchsorted(self.post_id, post_ids, sorter=self.by_id)
        rows = self.by_id[np.minimum(place, len(self) - 1)]
        return np.where(self.post_id[rows] == post_ids, rows, -1)

    def is_expired(self, post_id: int) -> bool:
        """True if `post_id` belongs to a post that is too old to be a candidate."""
        place = int(np.searchsorted(self.expired_id, post_id))
        return place < len(self.expired_id) and int(self.expired_id[place]) == post_id

    def newest_of(self, creators: Ids, limit: int) -> Rows:
        """The newest rows of all `creators` together, newest first, at most `limit`."""
        known = creators[(creators >= 0) & (creators < len(self.creator_start) - 1)]
        parts = [self.by_creator[self.creator_start[c] : self.creator_start[c + 1]] for c in known.tolist()]
        if not parts or limit == 0:
            return np.empty(0, np.int64)
        rows = np.concatenate(parts)
        return np.sort(rows)[::-1][:limit]  # rows ascend in time


def write_snapshot(
    path: Path,
    post_id: Ids,
    posts: PostFeatures,
    *,
    item_side: Floats,
    embeddings: Floats,
    trending: Rows,
    creator_stats: Floats,
    creators_region: Ids,
    expired_id: Ids,
    index: VectorIndex,
    meta: Mapping[str, Any],
) -> None:
    """Write the arrays, the index and the manifest into the empty directory `path`. `Snapshot` documents the shapes."""
    if len(np.unique(post_id)) < len(post_id) or np.any(np.diff(posts.published_ts) < 0):
        raise ValueError("post ids must be unique and in order of publication")
    if len(np.intersect1d(post_id, expired_id)):
        raise ValueError("a post is a candidate or expired, not both")
    arrays = {"post_id": post_id, **{name: getattr(posts, name) for name in ARRAYS[1:]}}
    arrays |= {"item_side": item_side, "embeddings": embeddings, "trending": trending}
    arrays |= {"creator_stats": creator_stats, "creators_region": creators_region, EXPIRED: np.unique(expired_id)}
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    index.write(path / INDEX_FILE)
    facts = {"stats": list(STATS), "creator_columns": list(CREATOR_COLUMNS), "index": index.kind, "indexed": len(index)}
    write_manifest(path, {**meta, **facts, "posts": len(post_id), "dimension": int(embeddings.shape[1])})


def open_snapshot(path: Path, *, model_digest: str, without_index: bool = False) -> Snapshot:
    """Verify and map the snapshot. Raises `CorruptArtifact`, also if its embeddings come from another model.

    With `without_index` a damaged index is tolerated; then every search raises `IndexUnavailable`.
    """
    manifest = verify(path, hint=INDEX_AGAIN, skip=[INDEX_FILE] if without_index else ())
    meta = manifest.meta
    if meta.get("model_digest") != model_digest:
        raise CorruptArtifact(f"the index in {path} was built for another model", hint=INDEX_AGAIN)
    is_older = f"{EXPIRED}.npy" not in manifest.files
    if is_older or meta.get("stats") != list(STATS) or meta.get("creator_columns") != list(CREATOR_COLUMNS):
        raise CorruptArtifact(
            f"the columns of the snapshot in {path} differ from those that this code reads", hint=INDEX_AGAIN
        )

    def mapped(name: str) -> Any:
        # a plain array over the mapped pages: indexing np.memmap costs ten times as much
        return np.asarray(np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False))

    creator = mapped("creator_id")
    region = mapped("creators_region")
    by_creator = np.lexsort((-np.arange(len(creator)), creator)).astype(np.int64)
    return Snapshot(
        post_id=(post_id := mapped("post_id")),
        by_id=np.argsort(post_id, kind="stable").astype(np.int64),
        posts=PostFeatures(*(mapped(name) for name in ARRAYS[1:])),
        item_side=mapped("item_side"),
        embeddings=mapped("embeddings"),
        trending=mapped("trending"),
        creator_stats=mapped("creator_stats"),
        creators_region=region,
        by_creator=by_creator,
        creator_start=np.searchsorted(creator[by_creator], np.arange(len(region) + 1)),
        expired_id=mapped(EXPIRED),
        index=VectorIndex.read(path / INDEX_FILE, meta["index"], meta["dimension"])
        if is_whole(path, manifest, INDEX_FILE)
        else MissingIndex(),
        indexed=meta["indexed"],
        meta=meta,
    )
