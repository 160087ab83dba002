"""A shift of the ads' world moves the click logit of the users of some segments, and changes nothing else."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from ctr_prediction.config import SMALL, SMOKE, CtrConfig
from ctr_prediction.domain import Array, Ints
from ctr_prediction.world.oracle import Context, Oracle
from ctr_prediction.world.shift import shifted, shifted_segments
from ctr_prediction.world.truth import World, make_world
from infra.simulation.streams import end_ts

NOW = end_ts(SMOKE.world)
SIZE = 0.7


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(SMOKE.world)


def logits(world: World, users: Ints) -> Array:
    rng, n = np.random.default_rng(1), len(users)
    ads, publisher = rng.integers(0, len(world.ads.campaign), n), rng.integers(0, SMOKE.world.publishers, n)
    context = Context(publisher, rng.integers(0, 3, n), NOW + rng.uniform(0, 86_400, n), rng.integers(0, 5, n))
    p = Oracle(world).relevance(users, ads, context)
    return np.asarray(np.log(p / (1 - p)))


def test_size_0_is_the_original_world_and_a_shift_does_not_change_it(world: World) -> None:
    before = world.people.leaning.copy()
    assert shifted(world, 0.0) is world
    shifted(world, SIZE)
    np.testing.assert_array_equal(world.people.leaning, before)


@pytest.mark.parametrize(("config", "count"), [(SMOKE, 2), (SMALL, 16)])
def test_segments_are_a_quarter_of_all_and_follow_from_the_seed(config: CtrConfig, count: int) -> None:
    segments = shifted_segments(config.world)
    assert len(set(segments.tolist())) == count
    assert segments.max() < config.world.segments
    np.testing.assert_array_equal(shifted_segments(config.world), segments)


@pytest.mark.parametrize("size", [SIZE, -0.4])
def test_click_logits_of_the_segments_move_by_the_size_and_no_others(world: World, size: float) -> None:
    users = np.random.default_rng(0).integers(0, SMOKE.world.users, 20_000)
    old, new = logits(world, users), logits(shifted(world, size), users)
    is_shifted = np.isin(world.people.segment[users], shifted_segments(SMOKE.world))
    np.testing.assert_array_equal(new[~is_shifted], old[~is_shifted])
    np.testing.assert_allclose(new[is_shifted] - old[is_shifted], size, atol=1e-9)
    assert 0.1 < is_shifted.mean() < 0.5


def test_only_the_users_tendency_to_click_changes(world: World) -> None:
    new = shifted(world, SIZE)
    for item in fields(World):
        if item.name != "people":
            assert getattr(new, item.name) is getattr(world, item.name), item.name
    for item in fields(world.people):
        if item.name != "leaning":
            assert getattr(new.people, item.name) is getattr(world.people, item.name), item.name
