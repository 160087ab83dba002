"""A small city of rides and some days of it, generated once per test process."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from eta_prediction.config import SMOKE
from eta_prediction.world.replayed import ReplayedDay, replay_days
from eta_prediction.world.truth import World, make_world
from infra.routing.choose import find_order, open_engine

DAYS = 6
CONFIG = replace(SMOKE.world, days=DAYS, trips_per_day=3_000, events=replace(SMOKE.world.events, riders=60))
"""more trips a day than the preset `smoke`, so that a few days are enough to estimate the parameters"""


@cache
def world() -> World:
    return make_world(CONFIG)


@cache
def days() -> list[ReplayedDay]:
    topology = world().graph.topology
    engine = open_engine(topology, find_order(topology), world().graph.free_s)
    return list(replay_days(world(), engine, range(DAYS)))
