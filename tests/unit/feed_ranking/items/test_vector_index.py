"""Flat search is exact, the other index kinds are approximate, and invalid files are rejected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed_ranking.items.vector_index import VectorIndex
from infra.errors import CorruptArtifact


def clustered(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, 16))
    return (centres[rng.integers(0, 20, count)] + 0.4 * rng.normal(size=(count, 16))).astype(np.float32)


@given(seed=st.integers(0, 1000), limit=st.integers(0, 60))
@settings(deadline=None, max_examples=30)
def test_flat_index_matches_a_full_scan(seed: int, limit: int) -> None:
    vectors = clustered(50, seed)
    query = vectors[seed % 50] + 0.1
    found = VectorIndex.build("flat", vectors).search(query, limit)
    np.testing.assert_array_equal(found, np.argsort(-(vectors @ query), kind="stable")[:limit])


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_approximate_index_recall_is_high_and_grows_with_effort(kind: str) -> None:
    vectors = clustered(4000)
    flat, index = VectorIndex.build("flat", vectors), VectorIndex.build(kind, vectors)

    def recall(**effort: int) -> float:
        shares = []
        for query in clustered(30, seed=1):
            truth = set(flat.search(query, 50).tolist())
            shares.append(len(truth & set(index.search(query, 50, **effort).tolist())) / 50)
        return float(np.mean(shares))

    little, much = recall(nprobe=1, ef=50), recall(nprobe=64, ef=800)
    assert much >= 0.9
    assert much >= little
    if kind == "ivf":
        assert little < much, "otherwise nprobe is not used"


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_index_survives_a_round_trip_to_disk(kind: str, tmp_path: Path) -> None:
    vectors = clustered(600)
    index = VectorIndex.build(kind, vectors)
    index.write(tmp_path / "i")
    again = VectorIndex.read(tmp_path / "i", kind, 16)
    np.testing.assert_array_equal(again.search(vectors[3], 20), index.search(vectors[3], 20))


def test_invalid_file_or_wrong_dimension_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "garbage").write_bytes(b"no index at all")
    with pytest.raises(CorruptArtifact):
        VectorIndex.read(tmp_path / "garbage", "flat", 16)
    VectorIndex.build("flat", clustered(10)).write(tmp_path / "i")
    with pytest.raises(CorruptArtifact, match="16 dimensions"):
        VectorIndex.read(tmp_path / "i", "flat", 32)


def test_unknown_index_kind_raises() -> None:
    with pytest.raises(ValueError, match="kind"):
        VectorIndex.build("magic", clustered(10))
