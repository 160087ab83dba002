"""The snapshot finds what it holds, and refuses what was made for another model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from feed_ranking.domain import PostFeatures
from feed_ranking.snapshot import Snapshot, open_snapshot, write_snapshot
from infra.errors import CorruptArtifact

POSTS, DIMENSION, CREATORS = 200, 8, 12


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("snapshot")
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(POSTS, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    numbers = rng.random((4, POSTS)).astype(np.float32)
    posts = PostFeatures(rng.integers(0, CREATORS, POSTS), rng.integers(0, 4, POSTS), rng.random(POSTS) * 1e6, *numbers)
    write_snapshot(path, np.arange(POSTS) * 3 + 5, posts, vectors, np.arange(50)[::-1].copy(), {"model_digest": "m1"})
    return path


@pytest.fixture
def snapshot(directory: Path) -> Snapshot:
    return open_snapshot(directory, model_digest="m1")


def test_nearest_is_what_a_full_scan_finds(snapshot: Snapshot) -> None:
    for row in (0, 17, 199):
        vector = np.asarray(snapshot.embeddings[row])
        scan = np.argsort(-(snapshot.embeddings @ vector), kind="stable")[:10]
        np.testing.assert_array_equal(snapshot.nearest(vector, 10), scan)
        assert snapshot.nearest(vector, 10)[0] == row


def test_newest_of_lists_a_creators_posts_newest_first(snapshot: Snapshot) -> None:
    rows = snapshot.newest_of(np.array([3, 5, -1, 10**6]), 15)
    published = snapshot.posts.published_ts
    assert set(snapshot.posts.creator_id[rows].tolist()) <= {3, 5}
    assert (np.diff(published[rows]) <= 0).all()
    both = np.flatnonzero(np.isin(snapshot.posts.creator_id, [3, 5]))
    np.testing.assert_array_equal(np.sort(rows), np.sort(both[np.argsort(-published[both])][:15]))


def test_rows_of_finds_known_ids_only(snapshot: Snapshot) -> None:
    assert snapshot.rows_of(np.array([5, 8, 9, 10**12, 602])).tolist() == [0, 1, 199]
    assert snapshot.rows_of(np.empty(0, np.int64)).tolist() == []


def test_limits_of_zero_give_nothing(snapshot: Snapshot) -> None:
    assert len(snapshot.nearest(np.asarray(snapshot.embeddings[0]), 0)) == 0
    assert len(snapshot.newest_of(np.array([3]), 0)) == 0


def test_a_snapshot_for_another_model_is_refused(directory: Path) -> None:
    with pytest.raises(CorruptArtifact, match="another model"):
        open_snapshot(directory, model_digest="m2")


def test_ids_must_ascend(tmp_path: Path, snapshot: Snapshot) -> None:
    ids = np.asarray(snapshot.post_id)[::-1].copy()
    with pytest.raises(ValueError, match="ascend"):
        write_snapshot(tmp_path, ids, snapshot.posts, np.asarray(snapshot.embeddings), snapshot.trending, {})
