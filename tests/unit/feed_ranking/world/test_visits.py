"""Simulated reactions to a slate have the frequencies that the oracle expects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from feed_ranking.domain import AD
from feed_ranking.world.oracle import Oracle, creators_before
from feed_ranking.world.visits import Screen, draw_visits, expect, slates_expected, truth_of_served
from infra.simulation.streams import end_ts
from tests.support.feed_log import CONFIG, world

NOW = end_ts(CONFIG)
DRAWS = 40_000
USER = 11
UNKNOWN = 900_000


def screen(slate: list[int], depth: int = 0, draws: int = 1) -> Screen:
    """Return the same slate for `draws` sessions of one user; an unknown post has topic 1 and an unknown creator."""
    truth, oracle = world().posts, Oracle(world())
    posts = np.array([slate])
    known = (posts >= 0) & (posts < len(truth))
    safe = np.where(known, posts, 0)
    creator = np.where(known, truth.creator[safe], np.where(posts == AD, -1, 70_000))
    topic = np.where(known, truth.topic[safe], 1)
    tall = (draws, len(slate))
    seen = truth_of_served(
        oracle,
        np.broadcast_to(posts, tall),
        np.broadcast_to(creator, tall),
        np.broadcast_to(topic, tall),
        NOW,
    )
    return Screen(
        users=np.full(draws, USER),
        posts=seen,
        is_ad=np.broadcast_to(posts == AD, tall),
        now_ts=np.full(draws, NOW),
        depth=np.broadcast_to(depth + np.arange(len(slate)), tall),
        creator_before=np.broadcast_to(creators_before(creator), tall),
    )


def mixed_slate() -> list[int]:
    """Return twelve items: known posts, two of them by one creator, unknown posts, and two ads."""
    truth = world().posts
    young = np.flatnonzero(truth.published_ts > NOW - 72 * 3600)
    posts = young[np.argsort(truth.creator[young], kind="stable")][:8].tolist()
    assert len(set(truth.creator[posts].tolist())) < 8
    return [*posts[:3], AD, posts[3], UNKNOWN, *posts[4:6], AD, UNKNOWN + 1, *posts[6:]]


@pytest.mark.parametrize("depth", [0, 20])
def test_reaction_frequencies_match_the_oracle(depth: int) -> None:
    shown = screen(mixed_slate(), depth, DRAWS)
    came = draw_visits(Oracle(world()), np.random.default_rng(depth), shown)
    mean = expect(Oracle(world()), screen(mixed_slate(), depth))
    reached = came.reached
    left_at = np.where(came.leaves.any(axis=1), came.leaves.argmax(axis=1), -1)
    at_ad = (left_at >= 0) & shown.is_ad[0][left_at]
    for name, observed, expected in (
        ("clicks", (came.clicked & reached).sum(axis=1), mean.clicks[0]),
        ("dwell_s", (came.dwell_s * reached).sum(axis=1), mean.dwell_s[0]),
        ("stays", left_at < 0, mean.stays[0]),
        ("ended_by_ad", at_ad, mean.ended_by_ad[0]),
        ("reached", reached.sum(axis=1), mean.reached[0].sum()),
    ):
        error = observed.std() / np.sqrt(DRAWS)
        assert observed.mean() == pytest.approx(expected, abs=4 * error), name
        assert error < 0.05 * max(expected, 0.1), f"{name}: too few draws"


def test_ads_get_no_clicks_and_likes_require_a_click() -> None:
    shown = screen(mixed_slate(), 0, 5000)
    came = draw_visits(Oracle(world()), np.random.default_rng(0), shown)
    assert not (came.clicked | came.liked | came.commented)[shown.is_ad].any()
    assert not (came.dwell_s > 0)[~came.clicked].any()
    assert (came.dwell_s > 0)[came.clicked].all()
    assert not (came.liked | came.commented)[~came.clicked].any()
    assert came.liked.any()
    assert came.reached[:, 0].all()


def test_ad_raises_the_rate_of_leaving() -> None:
    oracle, slate = Oracle(world()), mixed_slate()
    posts = [post for post in slate if post != AD]
    with_ad, without = (expect(oracle, screen([*posts[:5], place, *posts[5:]])) for place in (AD, posts[-1]))
    assert with_ad.stays[0] < without.stays[0]
    assert with_ad.ended_by_ad[0] > 0 == without.ended_by_ad[0]
    np.testing.assert_array_equal(with_ad.reached[0, :6], without.reached[0, :6])
    assert (with_ad.reached[0, 6:] < without.reached[0, 6:]).all()


def test_unknown_post_is_average_new_and_without_followers() -> None:
    oracle = Oracle(world())
    known, creators = len(world().posts), len(world().creators)
    found = truth_of_served(oracle, np.array([known]), np.array([creators]), np.array([3]), NOW)
    assert (found.quality[0], found.bait[0], found.media[0]) == (0, 0, 0)
    assert (found.topic[0], found.published_ts[0], found.burst_ts[0]) == (3, NOW, np.inf)
    users = np.arange(CONFIG.users)
    given = oracle.reaction_to(users[:, None], found, NOW)
    taste = world().people.taste[:, 3]
    expected = 1 / (1 + np.exp(-(CONFIG.click_bias + CONFIG.taste_click * taste.astype(float))))
    np.testing.assert_allclose(given.p_click[:, 0], expected, rtol=1e-6)


def test_followers_click_an_unknown_post_of_their_creator_more() -> None:
    oracle, graph = Oracle(world()), world().graph
    creator = int(graph.creator[0])
    found = truth_of_served(oracle, np.array([UNKNOWN]), np.array([creator]), np.array([0]), NOW)
    without = replace(found, creator=np.array([len(world().creators) + 5]))
    users = np.arange(CONFIG.users)
    gain = (
        oracle.reaction_to(users[:, None], found, NOW).p_click
        - oracle.reaction_to(users[:, None], without, NOW).p_click
    )
    np.testing.assert_array_equal(gain[:, 0] > 0, graph.is_following(users, np.full(CONFIG.users, creator)))


def test_world_post_id_with_another_creator_is_an_unknown_post() -> None:
    oracle, truth = Oracle(world()), world().posts
    for creator, is_known in ((int(truth.creator[40]), True), (int(truth.creator[40]) + 1, False)):
        found = truth_of_served(oracle, np.array([40]), np.array([creator]), np.array([99]), NOW)
        assert bool(found.quality[0] == truth.quality[40]) is is_known
        assert found.creator[0] == creator
        assert found.topic[0] == (truth.topic[40] if is_known else 0), "an unknown topic falls back to topic 0"


def test_truth_of_served_equals_the_world_for_known_posts() -> None:
    oracle, posts = Oracle(world()), np.arange(len(world().posts))
    served = truth_of_served(oracle, posts, world().posts.creator, world().posts.topic * 0, NOW)
    for name, values in vars(oracle.truth_of(posts)).items():
        np.testing.assert_array_equal(getattr(served, name), values, name)


def test_number_of_slates_per_session_matches_the_expectation() -> None:
    oracle, slate = Oracle(world()), mixed_slate()
    is_ad, rng = np.array(slate) == AD, np.random.default_rng(3)
    there, asked = np.ones(DRAWS, bool), np.zeros(DRAWS)
    for page in range(3):
        asked += there
        there = there & ~draw_visits(oracle, rng, screen(slate, page * len(slate), DRAWS)).leaves.any(axis=1)
    expected = slates_expected(oracle, is_ad, 3)
    assert asked.mean() == pytest.approx(expected, abs=4 * asked.std() / np.sqrt(DRAWS))
    assert slates_expected(oracle, is_ad, 1) == 1
