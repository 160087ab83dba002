"""The snapshot supports its lookups and rejects damaged files and files of another model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from feed_ranking.items.snapshot import open_snapshot
from infra.errors import CorruptArtifact, IndexUnavailable
from infra.registry.manifest import write_manifest
from tests.support.feed_parts import EXPIRED, some_snapshot


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    some_snapshot(tmp_path)
    return tmp_path


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_newest_of_lists_the_creators_posts_newest_first(directory: Path) -> None:
    snapshot = open_snapshot(directory, model_digest="m1")
    rows = snapshot.newest_of(np.array([3, 5, -1, 10**6]), 9)
    both = np.flatnonzero(np.isin(snapshot.posts.creator_id, [3, 5]))
    np.testing.assert_array_equal(rows, both[::-1][:9])
    assert len(snapshot.newest_of(np.array([3]), 0)) == 0
    assert len(snapshot.newest_of(np.array([-1]), 5)) == 0


def test_row_of_supports_ids_in_any_order(tmp_path: Path) -> None:
    ids = np.random.default_rng(3).permutation(120) * 7
    ids[50] = 2**62
    some_snapshot(tmp_path, ids=ids)
    snapshot = open_snapshot(tmp_path, model_digest="m1")
    assert [snapshot.row_of(post_id) for post_id in ids.tolist()] == list(range(120))
    assert [snapshot.row_of(post_id) for post_id in (-1, 1, 7 * 120, 2**62 + 1)] == [None] * 4


def test_snapshot_rejects_duplicate_post_ids(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be unique"):
        some_snapshot(tmp_path, ids=np.zeros(120, np.int64))


def test_snapshot_lists_the_ids_of_expired_posts(directory: Path) -> None:
    snapshot = open_snapshot(directory, model_digest="m1")
    assert [number for number in range(-1, 600) if snapshot.is_expired(number)] == list(EXPIRED)


def test_snapshot_without_expired_ids_is_rejected(directory: Path) -> None:
    """An older release has no such file. The next build of the index writes it."""
    (directory / "expired_id.npy").unlink()
    write_manifest(directory, json.loads((directory / "manifest.json").read_text())["meta"])
    with pytest.raises(CorruptArtifact, match="columns of the snapshot"):
        open_snapshot(directory, model_digest="m1")


def test_index_contains_the_oldest_rows(directory: Path) -> None:
    snapshot = open_snapshot(directory, model_digest="m1")
    assert snapshot.indexed == 100
    vector = np.asarray(snapshot.embeddings[17])
    scan = np.argsort(-(snapshot.embeddings[:100] @ vector), kind="stable")[:10]
    np.testing.assert_array_equal(snapshot.index.search(vector, 10), scan)


def test_snapshot_of_another_model_is_rejected(directory: Path) -> None:
    with pytest.raises(CorruptArtifact, match="another model"):
        open_snapshot(directory, model_digest="m2")


@pytest.mark.parametrize("name", ["index.faiss", "stats.npy", "item_side.npy", "trending.npy", "manifest.json"])
def test_snapshot_with_one_flipped_byte_is_rejected(directory: Path, name: str) -> None:
    flip_a_byte(directory / name)
    with pytest.raises(CorruptArtifact):
        open_snapshot(directory, model_digest="m1")


def test_snapshot_opens_without_a_damaged_index_but_needs_all_other_files(directory: Path) -> None:
    flip_a_byte(directory / "index.faiss")
    snapshot = open_snapshot(directory, model_digest="m1", without_index=True)
    assert snapshot.indexed == 100, "the fresh source must not scan all rows"
    with pytest.raises(IndexUnavailable):
        snapshot.index.search(np.zeros(8, np.float32), 5)
    flip_a_byte(directory / "stats.npy")
    with pytest.raises(CorruptArtifact):
        open_snapshot(directory, model_digest="m1", without_index=True)
