"""The posts that can be shown, as memory-mapped arrays, with their vector index. Written offline, read online.

Reading post features from the feature store for every candidate would alone break the budget; so they are
gathered from this snapshot. A *row* is a position in its arrays, and candidates are rows until the response.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from feed_ranking.domain import Floats, Ids, PostFeatures
from infra.errors import CorruptArtifact
from infra.registry.manifest import verify, write_manifest

COLUMNS = ("impressions", "ctr", "creator_followers", "creator_ctr_7d")
Rows = npt.NDArray[np.int64]
INDEX_AGAIN = "run: lab build feed_ranking --from index"


@dataclass(frozen=True)
class Snapshot:
    """n posts, ordered by ascending `post_id` int64[n]. `posts` are their features, `embeddings` float32[n, d] unit
    vectors; `trending` int64[m] are the hottest rows, hottest first.

    `by_creator` int64[n] lists rows by creator, newest first; those of creator c stand at
    `creator_start[c]:creator_start[c + 1]`.
    """

    post_id: Ids
    posts: PostFeatures
    embeddings: Floats
    trending: Rows
    by_creator: Rows
    creator_start: Rows
    index: Any
    meta: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.post_id)

    def rows_of(self, post_ids: Ids) -> Rows:
        """The rows of those ids that are in the snapshot."""
        found = np.searchsorted(self.post_id, post_ids)
        found = np.minimum(found, len(self.post_id) - 1)
        return np.unique(found[self.post_id[found] == post_ids])

    def newest_of(self, creators: Ids, limit: int) -> Rows:
        """The newest rows of these creators together, newest first, at most `limit`."""
        known = creators[(creators >= 0) & (creators < len(self.creator_start) - 1)]
        parts = [self.by_creator[self.creator_start[c] : self.creator_start[c + 1]] for c in known]
        if not parts or limit == 0:
            return np.empty(0, np.int64)
        rows = np.concatenate(parts)
        return rows[np.argsort(-self.posts.published_ts[rows], kind="stable")[:limit]]

    def nearest(self, vector: Floats, limit: int) -> Rows:
        """The rows whose embeddings have the largest dot product with `vector` float32[d], best first."""
        if limit == 0:
            return np.empty(0, np.int64)
        _, rows = self.index.search(vector.reshape(1, -1), min(limit, len(self)))
        found: Rows = rows[0][rows[0] >= 0]
        return found


def write_snapshot(
    path: Path, post_id: Ids, posts: PostFeatures, embeddings: Floats, trending: Rows, meta: Mapping[str, Any]
) -> None:
    """Write the arrays, a flat inner-product index and the manifest into the empty directory `path`."""
    if np.any(np.diff(post_id) <= 0):
        raise ValueError("post ids must ascend")
    index = faiss.IndexFlatIP(embeddings.shape[1])
    index.add(np.ascontiguousarray(embeddings))
    faiss.write_index(index, str(path / "index.faiss"))
    np.save(path / "post_id.npy", post_id)
    np.save(path / "creator_id.npy", posts.creator_id)
    np.save(path / "topic.npy", posts.topic)
    np.save(path / "published_ts.npy", posts.published_ts)
    np.save(path / "columns.npy", np.stack([getattr(posts, name) for name in COLUMNS], axis=1).astype(np.float32))
    np.save(path / "embeddings.npy", embeddings)
    np.save(path / "trending.npy", trending)
    write_manifest(path, {**meta, "columns": list(COLUMNS), "posts": len(post_id), "dimension": embeddings.shape[1]})


def open_snapshot(path: Path, *, model_digest: str) -> Snapshot:
    """Verify and map the snapshot. Raises `CorruptArtifact`, also when it was made for another model's embeddings."""
    manifest = verify(path, hint=INDEX_AGAIN)
    if manifest.meta.get("model_digest") != model_digest:
        raise CorruptArtifact(f"the index in {path} was built for another model", hint=INDEX_AGAIN)
    if manifest.meta.get("columns") != list(COLUMNS):
        raise CorruptArtifact(f"the snapshot in {path} has other columns than this code reads", hint=INDEX_AGAIN)

    def mapped(name: str) -> Any:
        return np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False)

    columns = mapped("columns")
    creator, published = mapped("creator_id"), mapped("published_ts")
    order = np.lexsort((-published, creator))
    faiss.omp_set_num_threads(1)
    return Snapshot(
        post_id=np.asarray(mapped("post_id")),
        posts=PostFeatures(creator, mapped("topic"), published, *(columns[:, i] for i in range(len(COLUMNS)))),
        embeddings=mapped("embeddings"),
        trending=np.asarray(mapped("trending")),
        by_creator=order.astype(np.int64),
        creator_start=np.searchsorted(creator[order], np.arange(int(creator.max()) + 2)),
        index=faiss.read_index(str(path / "index.faiss")),
        meta=manifest.meta,
    )
