"""The world does what its parameters say, and each part has a random stream of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed_ranking.config import WorldConfig
from feed_ranking.domain import RANDOM_POLICY
from feed_ranking.world.history import log_days, plackett_luce
from feed_ranking.world.oracle import Oracle, World, make_world
from feed_ranking.world.reactions import examination

CONFIG = WorldConfig(users=300, creators=60, posts=1500, days=4, sessions_per_user_day=2.0, randomised_share=0.3)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(CONFIG)


@pytest.fixture(scope="module")
def log(world: World) -> dict[str, np.ndarray]:
    tables = [table for _, table in log_days(world)]
    return {name: np.concatenate([t[name].to_numpy() for t in tables]) for name in tables[0].column_names}


def test_the_same_seed_makes_the_same_world_and_log(world: World) -> None:
    again = make_world(CONFIG)
    np.testing.assert_array_equal(world.people.taste, again.people.taste)
    for (_, one), (_, two) in zip(log_days(world), log_days(again), strict=True):
        assert one.equals(two)


def test_another_number_of_days_leaves_people_as_they_were(world: World) -> None:
    longer = make_world(replace(CONFIG, days=9))
    np.testing.assert_array_equal(world.people.taste, longer.people.taste)
    np.testing.assert_array_equal(world.posts.creator_topic, longer.posts.creator_topic)


def test_homophily_makes_people_follow_what_they_like() -> None:
    def liked(config: WorldConfig) -> float:
        made = make_world(config)
        users, creators = np.nonzero(made.people.edges)
        return float(made.people.taste[users, made.posts.creator_topic[creators]].mean())

    assert liked(CONFIG) > liked(replace(CONFIG, homophily=0.0)) + 0.3


def test_follows_and_edges_tell_the_same(world: World) -> None:
    follows = world.people.follows
    for user in range(0, CONFIG.users, 17):
        listed = follows[user][follows[user] >= 0]
        assert listed.tolist() == sorted(set(listed.tolist()))
        np.testing.assert_array_equal(np.flatnonzero(world.people.edges[user]), listed)


def test_the_first_position_is_always_looked_at_and_later_ones_less() -> None:
    looks = examination(CONFIG, np.arange(20))
    assert looks[0] == 1.0
    assert (np.diff(looks) < 0).all()


def test_position_bias_can_be_recovered_from_the_randomised_bucket(log: dict[str, np.ndarray]) -> None:
    """There, what stands where is chance, so click rates by position follow examination alone."""
    bucket = log["policy"] == RANDOM_POLICY
    position, clicked = log["position"][bucket], log["clicked"][bucket]
    rate = np.bincount(position, clicked) / np.bincount(position)
    slope = np.polyfit(np.log1p(np.arange(20)), np.log(rate), 1, w=np.sqrt(np.bincount(position, clicked)))[0]
    assert slope == pytest.approx(-CONFIG.examination_decay, abs=0.25)


def test_clicks_are_as_frequent_as_the_oracle_says(world: World, log: dict[str, np.ndarray]) -> None:
    p = Oracle(world).p_click(log["user_id"], log["post_id"], log["position"])
    noise = np.sqrt((p * (1 - p)).sum())
    assert abs(log["clicked"].sum() - p.sum()) < 4 * noise


def test_quality_taste_and_follow_each_raise_the_click_probability(world: World) -> None:
    users, posts = np.arange(CONFIG.users), np.arange(200)
    base = Oracle(world).relevance(users[:, None], posts[None, :])
    for name in ("quality_weight", "taste_weight", "follow_weight"):
        without = replace(world, config=replace(CONFIG, **{name: 0.0}))
        assert not np.allclose(base, Oracle(without).relevance(users[:, None], posts[None, :])), name
    quality = world.posts.quality[posts]
    assert np.corrcoef(base.mean(axis=0), quality)[0, 1] > 0.5


def test_every_shown_post_was_published_alive_and_unique_in_its_slate(world: World, log: dict[str, np.ndarray]) -> None:
    shown = log["request_ts"].astype("datetime64[us]").astype(np.int64) / 1e6
    age = shown - world.posts.published_ts[log["post_id"]]
    assert (age >= 0).all()
    assert (age <= CONFIG.post_life_h * 3600).all()
    pairs = log["slate_id"].astype(np.int64) * 10_000 + log["post_id"]
    assert len(np.unique(pairs)) == len(pairs)
    assert len(np.unique(log["event_id"])) == len(log["event_id"])


def test_the_randomised_bucket_has_its_share(log: dict[str, np.ndarray]) -> None:
    share = (log["policy"] == RANDOM_POLICY).mean()
    assert share == pytest.approx(CONFIG.randomised_share, abs=0.05)


def test_logged_propensities_are_those_of_the_draw() -> None:
    """Redraw one pool many times: how often each post comes first must be its logged propensity there."""
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 1.5, 8)
    pool = np.tile(np.arange(8), (40_000, 1))
    slates, propensity = plackett_luce(rng, pool, np.tile(logits, (40_000, 1)), 3)
    for post in range(8):
        first = slates[:, 0] == post
        assert first.mean() == pytest.approx(propensity[first, 0].mean(), abs=0.01)
    second = (slates[:, 0] == 2) & (slates[:, 1] == 5)
    given_two = propensity[second, 1].mean()
    assert second.sum() / (slates[:, 0] == 2).sum() == pytest.approx(given_two, abs=0.02)


@given(seed=st.integers(0, 1000), k=st.integers(1, 6))
def test_a_draw_never_repeats_a_post_nor_takes_an_excluded_one(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(5, 10))
    logits[:, [1, 4]] = -np.inf
    slates, propensity = plackett_luce(rng, np.tile(np.arange(10), (5, 1)), logits, k)
    assert all(len(set(row)) == k for row in slates.tolist())
    assert not np.isin(slates, [1, 4]).any()
    assert ((propensity > 0) & (propensity <= 1 + 1e-9)).all()


def test_the_oracle_slate_is_at_least_as_good_as_any_other(world: World) -> None:
    oracle, rng = Oracle(world), np.random.default_rng(0)
    posts = rng.choice(CONFIG.posts, 100, replace=False)
    for user in range(20):
        best = posts[np.argsort(-oracle.relevance(np.full(100, user), posts))[:10]]
        other = rng.permutation(posts)[:10]
        value = oracle.slate_value(np.array([user, user]), np.stack([best, other]))
        assert value[0] >= value[1]
