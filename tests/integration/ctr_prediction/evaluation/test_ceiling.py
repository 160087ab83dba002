"""The ceiling of the closable log loss equals values that can be derived in another way."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from ctr_prediction.domain import Array
from ctr_prediction.evaluation.studies.ceiling import (
    GRID,
    NODES,
    STEPS,
    WIDTH,
    Shown,
    Unknown,
    _laplace,
    ceilings,
    lost_rows,
    normal,
    predicted,
)
from ctr_prediction.world.clicks import sigmoid
from ctr_prediction.world.oracle import Context
from ctr_prediction.world.truth import World, make_world
from infra.columns import DAY_S, seconds
from infra.simulation.streams import start_ts
from infra.training.click_metrics import excess_log_loss_rows
from tests.support import ctr_log
from tests.support.ctr_learned import days, learned, split, world

PLANTED = {
    "users": 0.9060394545235283,
    "ads": 0.9705373281028135,
    "crosses": 0.9381925576594141,
    "creatives": 0.9455669211955854,
    "together": 0.7603362614813413,
}
"""Share of the avoidable log loss of the planted log that a model can close."""


def shown(groups: int, each: int, spread: float, seed: int) -> tuple[Shown, Unknown]:
    """Return a history with `each` impressions of every group, and the unknown effect of every group."""
    rng = np.random.default_rng(seed)
    own = rng.normal(0, spread, groups)
    group = np.repeat(np.arange(groups), each)
    logit = -1 + own[group]
    ones = np.ones(len(group))
    clicked = rng.random(len(group)) < sigmoid(logit)
    history = Shown(group, group, ones, logit, ones, clicked)
    return history, Unknown(groups, *normal(spread), (group, np.arange(groups)), (own[group], own))


def later_impressions(unknown: Unknown) -> Shown:
    ids, ones = np.arange(unknown.count), np.ones(unknown.count)
    return Shown(ids, ids, ones, -1 + unknown.true[1], ones)


def remaining_loss(unknown: Unknown, history: Shown) -> float:
    p, truth = predicted(unknown, history, later_impressions(unknown)), later_impressions(unknown).p_click
    return float((truth * np.log(truth / p) + (1 - truth) * np.log((1 - truth) / (1 - p))).mean())


def test_prediction_without_history_is_the_prior_mean() -> None:
    _, unknown = shown(50, 1, 0.5, 0)
    none = np.zeros(0, np.int64)
    nothing = Shown(none, none, np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0, bool))
    unseen = replace(unknown, group=(none, unknown.group[1]), true=(np.zeros(0), unknown.true[1]))
    found = predicted(unseen, nothing, later_impressions(unknown))
    prior_mean = float((unknown.weights * sigmoid(-1 + unknown.values)).sum())
    np.testing.assert_allclose(found, prior_mean)


def test_remaining_loss_falls_towards_zero_with_more_history() -> None:
    losses = [remaining_loss(*reversed(shown(400, each, 0.8, 1))) for each in (1, 10, 100, 1000)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 0.02
    assert losses[-1] < 0.001


def test_laplace_recovers_the_vector_and_its_variance() -> None:
    rng = np.random.default_rng(2)
    errors, variances = [], []
    for _ in range(200):
        true = rng.normal(size=3)
        x: Array = rng.normal(size=(300, 3)) * 0.5
        looks = rng.uniform(0.3, 1, 300)
        clicked = rng.random(300) < looks * sigmoid(-1 + x @ true)
        mode, spread = _laplace(x, np.full(300, -1.0), looks, clicked)
        errors.append((mode - true) ** 2)
        variances.append(np.diag(spread))
    assert np.mean(errors) == pytest.approx(np.mean(variances), rel=0.15)
    assert np.mean(variances) < 0.3, "a third of the prior variance"


def test_model_closes_less_of_the_gap_than_the_combined_ceiling() -> None:
    """The model trains on every click of the history, but only on a sample of the other impressions."""
    history, later = (_shown(pa.concat_tables(part)) for part in (days()[:-1], days()[-1:]))
    np.testing.assert_allclose(later.p_click, split().p_click, rtol=1e-6)
    found = ceilings(world(), history, later)
    together = found.pop("together")
    assert set(found) == {"users", "ads", "crosses", "creatives"}
    assert all(0.75 < share < 1 for share in found.values())
    assert together == pytest.approx(1 - sum(1 - share for share in found.values()))
    constant = excess_log_loss_rows(later.p_click, np.full_like(later.p_click, later.p_click.mean()))
    assert 0 < 1 - learned().excess.sum() / constant.sum() < together


def test_ceiling_of_a_planted_log_is_unchanged() -> None:
    """Freezes code and constants, because a changed ceiling would change the bound of `knowable_gap_closed`."""
    assert (GRID, WIDTH, NODES, STEPS) == (57, 3.5, 15, 30)
    small = make_world(replace(ctr_log.CONFIG, users=200, campaigns=12, segments=8, targeted_segments=4, days=3))
    history, later = planted(small, 20_000, seed=1, clicks=True), planted(small, 4_000, seed=2, clicks=False)
    assert ceilings(small, history, later) == pytest.approx(PLANTED, rel=1e-6)
    lost = lost_rows(small, history, later)
    truth = later.p_click
    constant = excess_log_loss_rows(truth, np.full_like(truth, truth.mean())).sum()
    assert {name: 1 - rows.sum() / constant for name, rows in lost.items()} == pytest.approx(
        {name: share for name, share in PLANTED.items() if name != "together"}, rel=1e-6
    )


def planted(small: World, count: int, seed: int, *, clicks: bool) -> Shown:
    """Return impressions with uniformly drawn users, ads, pages and slots."""
    rng, config = np.random.default_rng(seed), small.config
    user, ad = rng.integers(0, config.users, count), rng.integers(0, len(small.ads.leaning), count)
    where = Context(
        rng.integers(0, config.publishers, count),
        rng.integers(0, 3, count),
        start_ts(config) + rng.uniform(0, config.days * DAY_S, count),
        rng.integers(0, 4, count),
    )
    found = Shown.of(small, user, ad, where, rng.integers(0, 4, count), None)
    return replace(found, clicked=rng.random(count) < found.p_click) if clicks else found


def _shown(table: pa.Table) -> Shown:
    column = {name: table[name].to_numpy() for name in ("user_id", "ad_id", "publisher_id", "device", "seen", "slot")}
    where = Context(column["publisher_id"], column["device"], seconds(table["request_ts"].to_numpy()), column["seen"])
    clicked = table["clicked"].to_numpy()
    return Shown.of(world(), column["user_id"], column["ad_id"], where, column["slot"], clicked)
