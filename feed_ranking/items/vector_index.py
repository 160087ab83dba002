"""The vector index finds the posts with the largest inner product with the user's vector. It has three kinds.

`flat` scans every vector and is exact. `ivf` clusters the vectors and scans the `nprobe` nearest clusters. `hnsw` walks
a graph of neighbours and keeps the `ef` best candidates. (Malkov and Yashunin, 2018; Johnson et al., 2019, FAISS.)

`ivf` and `hnsw` need a metric, and an inner product is none: a very long vector would be close to every query. Both
therefore append one dimension that gives all vectors the same length. The nearest vector is then the one with the
largest inner product (Bachrach et al., RecSys 2014).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from infra.errors import CorruptArtifact, IndexUnavailable

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
HNSW_NEIGHBOURS, HNSW_EF_BUILD = 32, 120


class VectorIndex:
    """An index over n vectors; a search returns their rows, 0 to n - 1. Thread-safe for searches."""

    def __init__(self, index: Any, kind: str) -> None:
        faiss.omp_set_num_threads(1)
        self._index, self.kind = index, kind

    @classmethod
    def build(cls, kind: str, vectors: Floats) -> VectorIndex:
        """`kind` is flat, ivf or hnsw; `vectors` float32[n, d]."""
        n, d = vectors.shape
        stored = np.ascontiguousarray(vectors if kind == "flat" else equally_long(vectors))
        if kind == "flat":
            index: Any = faiss.IndexFlatIP(d)
        elif kind == "ivf":
            lists = int(np.clip(4 * np.sqrt(n), 1, max(n // 8, 1)))
            index = faiss.IndexIVFFlat(faiss.IndexFlatL2(d + 1), d + 1, lists, faiss.METRIC_L2)
            index.cp.min_points_per_centroid = 1  # avoids a FAISS warning in small worlds
            index.train(np.ascontiguousarray(stored[:: max(1, n // (lists * 64))]))
        elif kind == "hnsw":
            index = faiss.IndexHNSWFlat(d + 1, HNSW_NEIGHBOURS, faiss.METRIC_L2)
            index.hnsw.efConstruction = HNSW_EF_BUILD
        else:
            raise ValueError(f"unknown kind of index: {kind!r}")
        index.add(stored)
        return cls(index, kind)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, vector: Floats, limit: int, *, nprobe: int = 64, ef: int = 512) -> Rows:
        """The rows with the largest inner products with `vector` float32[d], best first, at most `limit`."""
        count = min(limit, len(self))
        if count == 0:
            return np.empty(0, np.int64)
        known: Any = faiss  # the stubs of FAISS lack the search parameters
        options = None
        if self.kind == "ivf":
            options = known.SearchParametersIVF(nprobe=min(nprobe, self._index.nlist))
        elif self.kind == "hnsw":
            options = known.SearchParametersHNSW(efSearch=max(ef, count))
        question = vector.reshape(1, -1) if self.kind == "flat" else np.append(vector, np.float32(0)).reshape(1, -1)
        _, rows = self._index.search(question, count, params=options)
        found: Rows = rows[0]
        return found[found >= 0]

    def write(self, path: Path) -> None:
        faiss.write_index(self._index, str(path))

    @classmethod
    def read(cls, path: Path, kind: str, dimension: int) -> VectorIndex:
        """Raises `CorruptArtifact` if the file is not an index of this dimension."""
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as exc:
            raise CorruptArtifact(f"{path} is not an index that FAISS can read") from exc
        stored = dimension if kind == "flat" else dimension + 1
        if index.d != stored:
            raise CorruptArtifact(f"{path} holds vectors of {index.d} dimensions, but its manifest requires {stored}")
        return cls(index, kind)


def equally_long(vectors: Floats) -> Floats:
    """float32[n, d + 1]: `vectors` float32[n, d] with a last dimension that gives each the length of the longest."""
    squared = np.einsum("nd,nd->n", vectors, vectors)
    rest = np.sqrt(np.maximum(squared.max(initial=0.0) - squared, 0.0))
    return np.concatenate([vectors, rest[:, None]], axis=1).astype(np.float32)


class MissingIndex:
    """Replaces a damaged index: every search raises `IndexUnavailable`."""

    def search(self, vector: Floats, limit: int, *, nprobe: int = 64, ef: int = 512) -> Rows:
        raise IndexUnavailable("the service started without its vector index, because the index is damaged")
