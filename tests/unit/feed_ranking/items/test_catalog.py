"""The catalogue appends new posts to the snapshot and serves both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feed_ranking.domain import CREATOR_COLUMNS, STATS
from feed_ranking.items import catalog
from feed_ranking.items.catalog import Catalogue, CatalogueFull, NewPost
from feed_ranking.items.snapshot import open_snapshot
from tests.support.feed_parts import EXPIRED, PRIORS, embed, some_snapshot


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    some_snapshot(tmp_path)
    return Catalogue(open_snapshot(tmp_path, model_digest="m1"), PRIORS, embed)


def post(post_id: int, creator_id: int = 3) -> NewPost:
    return NewPost(post_id, creator_id, 2, 1, 1.5, -0.5, 2e5)


def test_added_posts_are_found_by_every_lookup(catalogue: Catalogue) -> None:
    assert len(catalogue) == 120
    assert catalogue.add([post(1000), post(1001, creator_id=7)]) == 2
    assert len(catalogue) == 122
    assert catalogue.rows_of(np.array([5, 6, 1001, 1000])).tolist() == [0, 121, 120]
    assert catalogue.newest_of(np.array([3, 7]), 3)[:2].tolist() == [121, 120]
    assert catalogue.unindexed()[-2:].tolist() == [120, 121]


def test_snapshot_and_added_rows_are_gathered_in_the_requested_order(catalogue: Catalogue) -> None:
    catalogue.add([post(1000), post(1001)])
    rows = np.array([121, 4, 120, 0])
    assert catalogue.post_id(rows).tolist() == [1001, 17, 1000, 5]
    posts = catalogue.posts(rows)
    assert posts.creator_id[[0, 2]].tolist() == [3, 3]
    assert posts.published_ts[0] == 2e5
    np.testing.assert_array_equal(posts.stats[1], catalogue.snapshot.posts.stats[4])
    np.testing.assert_array_equal(catalogue.item_side(rows)[3], catalogue.snapshot.item_side[0])
    np.testing.assert_array_equal(catalogue.embeddings(rows)[0], embed(catalogue.item_side(rows))[0])


def test_post_is_added_once(catalogue: Catalogue) -> None:
    assert catalogue.add([post(1000), post(1000)]) == 1
    assert catalogue.add([post(1000), post(5)]) == 0
    assert len(catalogue) == 121


def test_first_post_with_an_id_keeps_it(catalogue: Catalogue) -> None:
    """So do the worker and a build (`events.history.PublicCatalogue.with_posts`)."""
    assert catalogue.add([post(1000, creator_id=7), post(1001), post(1000, creator_id=3)]) == 2
    catalogue.add([post(1000, creator_id=4), post(5, creator_id=99)])
    assert catalogue.post_id(np.array([120, 121])).tolist() == [1000, 1001], "in the order of publication"
    assert catalogue.creator_id(np.array([120])).tolist() == [7]
    assert catalogue.creator_id(np.array([0])).tolist() == [catalogue.snapshot.posts.creator_id[0]]


def test_expired_post_does_not_become_a_candidate_again(catalogue: Catalogue) -> None:
    assert catalogue.add([post(expired) for expired in EXPIRED] + [post(1000)]) == 1
    assert catalogue.rows_of(np.array([*EXPIRED, 1000])).tolist() == [120]


def test_refusal_names_an_id_that_another_post_has(catalogue: Catalogue) -> None:
    catalogue.add([post(1000)])
    assert catalogue.refusal(post(1000)) == catalogue.refusal(post(1001)) == ""
    again = replace(post(1000), published_ts=3e5)
    assert catalogue.refusal(again) == "", "a client sends a post again after a 503"
    changes = [{"creator_id": 4}, {"topic": 1}, {"media": 0}, {"quality_signal": 1.25}, {"bait_signal": 0.0}]
    for change in changes:
        assert "post 1000 already exists with other content" in catalogue.refusal(replace(post(1000), **change))
    assert "post 5 already exists" in catalogue.refusal(post(5)), "a post of the snapshot"
    assert "post 4 already exists and has expired" in catalogue.refusal(post(4))


def test_added_post_uses_the_stats_of_a_known_creator_and_zeros_otherwise(catalogue: Catalogue) -> None:
    catalogue.add([post(1000, creator_id=3), post(1001, creator_id=999)])
    stats = catalogue.posts(np.array([120, 121])).stats[:, -len(CREATOR_COLUMNS) :]
    np.testing.assert_array_equal(stats[0], catalogue.snapshot.creator_stats[3])
    assert not stats[1].any()
    signal = catalogue.posts(np.array([120])).stats[0, STATS.index("quality_signal")]
    assert signal == 1.5


def test_catalogue_rejects_posts_beyond_its_capacity(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "CAPACITY", 3)
    catalogue.add([post(1000), post(1001)])
    with pytest.raises(CatalogueFull):
        catalogue.add([post(1002), post(1003)])
    assert len(catalogue) == 122, "all or nothing"
    assert catalogue.add([post(1002)]) == 1
