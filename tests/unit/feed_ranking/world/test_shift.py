"""A shift of the feed's world rotates the tastes for some topics, and changes nothing else."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from feed_ranking.config import SMOKE
from feed_ranking.world.oracle import Oracle
from feed_ranking.world.shift import shifted, shifted_topics
from feed_ranking.world.truth import World, make_world
from infra.simulation.streams import end_ts

NOW = end_ts(SMOKE.world)
TOPICS = shifted_topics(SMOKE.world)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(SMOKE.world)


def test_size_0_is_the_original_world_and_a_shift_does_not_change_it(world: World) -> None:
    before = world.people.taste.copy()
    assert shifted(world, 0.0) is world
    shifted(world, 1.0)
    np.testing.assert_array_equal(world.people.taste, before)


def test_topics_are_half_of_all_and_follow_from_the_seed(world: World) -> None:
    assert len(set(TOPICS.tolist())) == len(TOPICS) == SMOKE.world.topics // 2
    np.testing.assert_array_equal(shifted_topics(SMOKE.world), TOPICS)


def test_tastes_of_the_topics_change_places_and_the_rest_of_the_world_stays(world: World) -> None:
    new, old = shifted(world, 1.0), world
    others = np.setdiff1d(np.arange(SMOKE.world.topics), TOPICS)
    np.testing.assert_array_equal(new.people.taste[:, others], old.people.taste[:, others])
    np.testing.assert_array_equal(np.sort(new.people.taste[:, TOPICS]), np.sort(old.people.taste[:, TOPICS]))
    for topic in TOPICS:
        assert np.abs(new.people.taste[:, topic] - old.people.taste[:, topic]).mean() > 0.5
    for item in fields(World):
        if item.name != "people":
            assert getattr(new, item.name) is getattr(old, item.name), item.name
    for item in fields(old.people):
        if item.name != "taste":
            assert getattr(new.people, item.name) is getattr(old.people, item.name), item.name
    assert new.people.taste.dtype == old.people.taste.dtype


def test_a_size_mixes_old_and_rotated_tastes(world: World) -> None:
    whole, half = shifted(world, 1.0).people.taste, shifted(world, 0.25).people.taste
    np.testing.assert_allclose(half, 0.75 * world.people.taste + 0.25 * whole, atol=1e-6)


def test_click_rates_change_for_posts_of_the_topics_only_and_stay_the_same_on_average(world: World) -> None:
    rng, n = np.random.default_rng(0), 20_000
    users, posts = rng.integers(0, SMOKE.world.users, n), rng.integers(0, len(world.posts), n)
    old, new = (Oracle(one).reaction(users, posts, NOW).p_click for one in (world, shifted(world, 1.0)))
    is_shifted = np.isin(world.posts.topic[posts], TOPICS)
    np.testing.assert_array_equal(new[~is_shifted], old[~is_shifted])
    ratio = new[is_shifted] / old[is_shifted]
    assert np.quantile(ratio, 0.1) < 0.6
    assert np.quantile(ratio, 0.9) > 1.6
    assert new.mean() == pytest.approx(old.mean(), rel=0.05)
