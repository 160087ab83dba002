"""Off-policy estimates from the log of one exploration rate cover the true value of another, given by the oracle."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from feed_ranking.config import SMOKE
from feed_ranking.domain import Ids
from feed_ranking.model.slate_policy import fill_slots, slate_choices, slate_propensity
from feed_ranking.world.examination import examination
from feed_ranking.world.oracle import Oracle, creators_before
from feed_ranking.world.rewards import draw_dwell_s
from feed_ranking.world.sessions import p_leave
from feed_ranking.world.truth import World, make_world
from infra.evaluation.off_policy import Array, Estimate, doubly_robust, importance_sampling, slate_weights
from infra.simulation.streams import end_ts

LOGGED, K, CAP = 0.1, 8, 3
REQUESTS, BANK, SLATES, LOGS, ROUNDS, DRAWS = 150, 15_000, 4_000, 100, 150, 7_500
NOW = end_ts(SMOKE.world)
POSITION = np.arange(K)


@cache
def world() -> World:
    return make_world(SMOKE.world)


@cache
def oracle() -> Oracle:
    return Oracle(world())


@dataclass(frozen=True)
class Request:
    """A user and a batch of posts, ranked by `guess` float64[n], a noisy estimate of their value."""

    user: int
    posts: Ids
    creators: Ids
    is_new: np.ndarray
    guess: Array


@cache
def requests() -> list[Request]:
    """Return requests ranked as in the service: by a noisy estimate, with posts of new creators at low ranks."""
    truth, rng = world(), np.random.default_rng(0)
    alive = truth.posts.published_ts > NOW - 72 * 3600
    is_new = truth.creators.joined_ts[truth.posts.creator] > NOW - 7 * 86_400
    made = []
    for user in rng.choice(SMOKE.world.users, REQUESTS, replace=False).tolist():
        posts = np.r_[
            rng.choice(np.flatnonzero(alive & ~is_new), 24, replace=False),
            rng.choice(np.flatnonzero(alive & is_new), 8, replace=False),
        ]
        worth = oracle().reaction(np.int64(user), posts, NOW).value_s(oracle().objective)
        guess = worth * np.exp(rng.normal(0, 0.4, len(posts)))
        order = np.argsort(-guess)
        ranked = posts[order]
        made.append(Request(user, ranked, truth.posts.creator[ranked], is_new[ranked], guess[order]))
    return made


def drawn(epsilon: float, count: int, seed: int) -> Iterator[tuple[int, np.ndarray, Array]]:
    """Yield `count` slates, equally many of each request: (request, chosen places int64[k], propensity float64[k])."""
    rng = np.random.default_rng(seed)
    for number in (np.arange(count) % REQUESTS).tolist():
        one = requests()[number]
        filled = fill_slots(one.creators, one.is_new, K, creator_cap=CAP, epsilon=epsilon, rng=rng)
        yield number, filled.chosen, filled.propensity


@dataclass(frozen=True)
class Bank:
    """Shown slates with the probabilities of their random outcomes. Arrays are [m, k], `request` is [m]."""

    request: np.ndarray
    chosen: np.ndarray
    propensity: Array
    p_click: Array
    p_like: Array
    p_comment: Array
    dwell_s: Array
    p_leave: Array

    def play(self, rows: np.ndarray, rng: np.random.Generator) -> Array:
        """Return the reward of each place in seconds, float64[n, k], drawn as the world draws it."""
        shape, objective = (len(rows), K), oracle().objective
        left = rng.random(shape) < self.p_leave[rows]
        there = np.cumsum(left, axis=1) - left == 0
        clicked = there & (rng.random(shape) < self.p_click[rows])
        earned: Array = clicked * (
            objective.click_weight
            + objective.dwell_weight * draw_dwell_s(SMOKE.world, self.dwell_s[rows], rng)
            + objective.like_weight * (rng.random(shape) < self.p_like[rows])
            + objective.comment_weight * (rng.random(shape) < self.p_comment[rows])
        )
        return earned


@cache
def bank() -> Bank:
    """Return the bank. Each log is a random subset of it with newly drawn rewards."""
    request, chosen, propensity = map(np.array, zip(*drawn(LOGGED, BANK, seed=1), strict=True))
    users = np.array([one.user for one in requests()])[request][:, None]
    posts = np.stack([one.posts for one in requests()])[request[:, None], chosen]
    before = creators_before(world().posts.creator[posts])
    reaction = oracle().reaction(users, posts, NOW, before)
    leaves = np.broadcast_to(p_leave(SMOKE.world, POSITION, np.zeros(K, bool)), posts.shape)
    looked_and = examination(SMOKE.world, POSITION) * reaction.p_click
    return Bank(request, chosen, propensity, looked_and, reaction.p_like, reaction.p_comment, reaction.dwell_s, leaves)


@cache
def propensity_under(epsilon: float) -> Array:
    """Return the propensities of the slates of the bank under another exploration rate, float64[BANK, k]."""
    found = np.empty((BANK, K))
    for row, (number, chosen) in enumerate(zip(bank().request, bank().chosen, strict=True)):
        one = requests()[number]
        found[row] = slate_propensity(one.creators, one.is_new, chosen, creator_cap=CAP, epsilon=epsilon)
    return found


@cache
def true_value(epsilon: float) -> float:
    """Return the mean oracle value of many slates that are drawn with this exploration rate."""
    shown = [(requests()[number], chosen) for number, chosen, _ in drawn(epsilon, DRAWS, seed=2)]
    users = np.array([one.user for one, _ in shown])
    slates = np.stack([one.posts[chosen] for one, chosen in shown])
    return float(oracle().slate_value(users, slates, NOW).mean())


@cache
def log_of(seed: int) -> tuple[np.ndarray, Array]:
    """(rows of the bank, rewards float64[SLATES, k]) of one log."""
    rng = np.random.default_rng([3, seed])
    rows = rng.choice(BANK, SLATES, replace=False)
    return rows, bank().play(rows, rng)


def from_log(seed: int, epsilon: float) -> Estimate:
    rows, rewards = log_of(seed)
    weights = slate_weights(bank().propensity[rows], propensity_under(epsilon)[rows])
    return importance_sampling(rewards, weights, rounds=ROUNDS, seed=seed)


@cache
def uncorrected() -> list[Estimate]:
    """Return the plain mean of each log, without correction for the other policy."""
    return [importance_sampling(log_of(seed)[1], np.ones((SLATES, K)), rounds=ROUNDS) for seed in range(LOGS)]


@pytest.mark.parametrize("epsilon", [0.3, 0.0])
def test_interval_covers_the_true_value_of_another_exploration_rate(epsilon: float) -> None:
    truth = true_value(epsilon)
    estimates = [from_log(seed, epsilon) for seed in range(LOGS)]
    covered = sum(found.covers(truth) for found in estimates)
    assert covered >= 88, f"95% intervals covered the truth in {covered} of {LOGS} logs"
    error = abs(np.mean([found.value for found in estimates]) - truth)
    naive_error = abs(np.mean([found.value for found in uncorrected()]) - truth)
    assert error < naive_error / 4, f"on average {error:.2f} s off, the plain mean {naive_error:.2f} s"


def test_plain_mean_covers_only_the_value_of_the_logged_policy() -> None:
    assert sum(found.covers(true_value(LOGGED)) for found in uncorrected()) >= 88
    assert sum(found.covers(true_value(0.3)) for found in uncorrected()) <= 10


def test_doubly_robust_interval_covers_the_true_value() -> None:
    """The baseline is the ranking's estimate of each post's value, times the probability that its place is examined.

    The interval is not narrower here, because dwell time is mostly random and no prediction removes that variance.
    """
    epsilon, logs = 0.3, range(20)
    stays = np.cumprod(np.r_[1.0, 1 - p_leave(SMOKE.world, POSITION, np.zeros(K, bool))[:-1]])
    looked = stays * examination(SMOKE.world, POSITION)
    rows = np.unique(np.concatenate([log_of(seed)[0][:1000] for seed in logs]))
    place = np.full(BANK, -1)
    place[rows] = np.arange(len(rows))
    predicted, expected = np.empty((2, len(rows), K))
    for at, row in enumerate(rows.tolist()):
        one, chosen = requests()[bank().request[row]], bank().chosen[row]
        probability = slate_choices(one.creators, one.is_new, chosen, creator_cap=CAP, epsilon=epsilon)
        predicted[at], expected[at] = looked * one.guess[chosen], looked * (probability @ one.guess)
    covered, width = 0, np.zeros(2)
    for seed in logs:
        mine, rewards = (values[:1000] for values in log_of(seed))
        weights, at = slate_weights(bank().propensity[mine], propensity_under(epsilon)[mine]), place[mine]
        plain = importance_sampling(rewards, weights, normalised=False, rounds=ROUNDS)
        better = doubly_robust(rewards, weights, predicted[at], expected[at], rounds=ROUNDS)
        width += (plain.high - plain.low, better.high - better.low)
        covered += better.covers(true_value(epsilon))
    assert covered >= 17
    assert width[1] < 1.1 * width[0]
