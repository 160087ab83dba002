"""The oracle gives expected outcomes and the best slate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from feed_ranking.config import ObjectiveConfig
from feed_ranking.domain import AD, EMPTY
from feed_ranking.world.examination import examination
from feed_ranking.world.oracle import Oracle, creators_before
from feed_ranking.world.sessions import p_leave
from infra.simulation.streams import end_ts
from tests.support.feed_log import CONFIG, organic, world

NOW = end_ts(CONFIG)


def alive(count: int, seed: int = 0) -> np.ndarray:
    posts = np.flatnonzero(world().posts.published_ts > NOW - 72 * 3600)
    return np.random.default_rng(seed).choice(posts, count, replace=False)


def test_event_rates_match_the_oracle_probabilities() -> None:
    rows, oracle = organic(), Oracle(world())
    shown = (rows["user_id"], rows["post_id"], rows["request_ts"])
    p = oracle.p_click_shown(*shown, rows["position"], rows["creator_before"])
    given = oracle.reaction(*shown, rows["creator_before"])
    clicked = rows["clicked"].astype(bool)
    for chosen in (np.ones(len(p), bool), *(rows["position"] == place for place in (0, 3, 12))):
        assert abs(clicked[chosen].sum() - p[chosen].sum()) < 4 * np.sqrt((p * (1 - p))[chosen].sum())
    for label, probability in (("liked", given.p_like), ("commented", given.p_comment)):
        q = probability[clicked]
        assert abs(rows[label][clicked].sum() - q.sum()) < 4 * np.sqrt((q * (1 - q)).sum())
    dwell, mean = rows["dwell_s"][clicked], given.dwell_s[clicked]
    spread = mean * np.sqrt(np.exp(CONFIG.dwell_spread**2) - 1)
    assert abs(dwell.sum() - mean.sum()) < 4 * np.sqrt((spread**2).sum())


def test_slate_value_matches_a_simulation() -> None:
    oracle, rng, draws = Oracle(world()), np.random.default_rng(0), 60_000
    posts = alive(8)
    slate = np.array([posts[0], posts[1], AD, posts[2], EMPTY, posts[3], AD, posts[4]])
    user = np.int64(11)
    value = oracle.slate_value(np.array([user]), slate[None, :], NOW)[0]
    before = creators_before(np.where(slate >= 0, world().posts.creator[np.maximum(slate, 0)], -1)[None, :])[0]
    given = oracle.reaction(user + 0 * slate, np.maximum(slate, 0), NOW, before)
    earned, there = np.zeros(draws), np.ones(draws, bool)
    for place, item in enumerate(slate):
        if item == EMPTY:
            continue
        if item >= 0:
            looks = rng.random(draws) < examination(CONFIG, np.array(place))
            clicks = there & looks & (rng.random(draws) < given.p_click[place])
            reward = given.dwell_s[place] + 20 * (rng.random(draws) < given.p_like[place])
            earned += clicks * (reward + 60 * (rng.random(draws) < given.p_comment[place]))
        there &= rng.random(draws) >= p_leave(CONFIG, np.array(place), np.array(item == AD))
    assert earned.mean() == pytest.approx(value, abs=4 * earned.std() / np.sqrt(draws))


@pytest.mark.parametrize("cap", [1, 2, 20])
def test_best_slate_is_greedy(cap: int) -> None:
    oracle, truth = Oracle(world()), world()
    pool, user = alive(60, seed=cap), 5
    slate = oracle.best_slate(user, pool, NOW, 12, cap)
    shown: list[int] = []
    for found in slate.tolist():
        worth = {}
        for post in pool.tolist():
            earlier = sum(truth.posts.creator[other] == truth.posts.creator[post] for other in shown)
            if post not in shown and earlier < cap:
                given = oracle.reaction(np.array([user]), np.array([post]), NOW, np.array([earlier]))
                worth[post] = float(given.value_s(ObjectiveConfig())[0])
        assert worth[found] == pytest.approx(max(worth.values()))
        shown.append(found)
    assert len(set(shown)) == 12


def test_best_slate_beats_random_slates_and_ends_at_the_creator_cap() -> None:
    oracle, rng = Oracle(world()), np.random.default_rng(1)
    pool = alive(80)
    users = np.arange(15)
    best = np.stack([oracle.best_slate(int(user), pool, NOW, 10, 3) for user in users])
    other = np.stack([rng.permutation(pool)[:10] for _ in users])
    assert (oracle.slate_value(users, best, NOW) > oracle.slate_value(users, other, NOW)).all()
    one = pool[world().posts.creator[pool] == world().posts.creator[pool[0]]]
    short = oracle.best_slate(3, one, NOW, 10, 1)
    assert (short >= 0).sum() == 1
    assert (short[1:] == EMPTY).all()


def test_ads_reduce_the_value_of_later_posts_and_fatigue_that_of_repeats() -> None:
    oracle, pool = Oracle(world()), alive(10)
    first = pool.copy()
    first[0] = AD
    late = pool.copy()
    late[9] = AD
    without = [oracle.slate_value(np.array([4]), np.where(p == AD, EMPTY, p)[None, :], NOW)[0] for p in (first, late)]
    with_ad = [oracle.slate_value(np.array([4]), p[None, :], NOW)[0] for p in (first, late)]
    assert with_ad[0] < without[0]
    assert with_ad[1] == pytest.approx(without[1]), "an ad in the last position affects no post"
    tireless = Oracle(replace(world(), config=replace(CONFIG, fatigue_click=0.0)))
    creator = world().posts.creator
    same = np.array([p for p in alive(400) if creator[p] == np.bincount(creator[alive(400)]).argmax()][:3])
    assert (
        oracle.slate_value(np.array([4]), same[None, :], NOW)[0]
        < tireless.slate_value(np.array([4]), same[None, :], NOW)[0]
    )
