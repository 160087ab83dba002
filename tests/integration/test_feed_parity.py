"""Online features equal offline features, and the snapshot equals the feature store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from feed_ranking.config import SMOKE
from feed_ranking.features.views import default_user, open_store, user_from_row
from feed_ranking.items.snapshot import open_snapshot
from feed_ranking.model.artifact import load_bundle
from feed_ranking.model.inputs import post_inputs, post_tower_inputs
from feed_ranking.offline.samples import join_posts, join_users
from infra.feature_store.feast_store import FeastStore
from infra.prediction_log.parity import compare
from infra.registry.release import Release
from infra.settings import Settings


@pytest.fixture(scope="module")
def store(release: Release, settings: Settings) -> FeastStore:
    return open_store(Path(release.features_path), settings)


def now(release: Release, count: int) -> pd.Series:
    return pd.to_datetime(pd.Series(np.full(count, release.world_now)), unit="s", utc=True)


def test_online_user_features_equal_offline_user_features(store: FeastStore, release: Release) -> None:
    default = default_user(16, SMOKE.features.creator_slots)
    users = np.arange(0, 600, 7)
    offline = join_users(store, users, now(release, len(users)), default)
    online = [user_from_row(store.read_online(int(user)), default) for user in users]
    for name in (
        "counts_long",
        "counts_recent",
        "topic_counts",
        "creators",
        "creator_counts",
        "follow_topics",
        "region",
    ):
        left = np.concatenate([getattr(user, name) for user in online])
        assert compare({name: left}, {name: getattr(offline, name)}) == []
    for row, user in enumerate(online):
        followed = offline.follows[row][offline.follows[row] >= 0]
        np.testing.assert_array_equal(np.sort(user.follows[0]), np.sort(followed))


def test_snapshot_features_equal_the_feature_store(store: FeastStore, release: Release) -> None:
    snapshot = open_snapshot(Path(release.index_path), model_digest=release.model_digest)
    rows = np.arange(0, len(snapshot), 3)
    posts = snapshot.posts.take(rows)
    joined = join_posts(store, snapshot.post_id[rows], posts.creator_id, now(release, len(rows)))
    assert compare(vars(posts), vars(joined)) == []


def test_index_holds_the_embeddings_of_the_released_model(release: Release) -> None:
    snapshot = open_snapshot(Path(release.index_path), model_digest=release.model_digest)
    bundle = load_bundle(Path(release.model_path), release.model_digest)
    rows = np.arange(0, len(snapshot), 11)
    posts = snapshot.posts.take(rows)
    item_side = post_inputs(posts, bundle.priors)
    np.testing.assert_allclose(np.asarray(snapshot.item_side)[rows], item_side, atol=1e-5)
    fresh = bundle.post_tower(post_tower_inputs(posts, item_side))
    np.testing.assert_allclose(np.asarray(snapshot.embeddings)[rows], fresh, atol=1e-5)
    nearest = snapshot.index.search(fresh[3], snapshot.indexed)
    assert len(nearest) == snapshot.indexed
    np.testing.assert_array_equal(nearest[:50], np.argsort(-(snapshot.embeddings[: snapshot.indexed] @ fresh[3]))[:50])
