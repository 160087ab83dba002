"""The true laws of held-out trips: the generated days once more, and the law of each trip at its departure."""

from __future__ import annotations

import numpy as np

from eta_prediction.config import WorldConfig
from eta_prediction.domain import Array, Ints
from eta_prediction.offline.generate import MOST_A_DAY
from eta_prediction.offline.samples import Sample
from eta_prediction.world.law.laws import laws_of_day
from eta_prediction.world.replayed import replay_days
from eta_prediction.world.truth import make_world
from infra.progress import Progress
from infra.routing.choose import find_order, open_engine


def chosen_rows(sample: Sample, most: int, seed: int) -> Ints:
    """int64[m]: up to `most` random trips, in order."""
    everyone = np.arange(len(sample))
    if len(sample) <= most:
        return everyone
    return np.sort(np.random.default_rng([seed, 9]).choice(everyone, most, replace=False))


def laws_of(config: WorldConfig, sample: Sample, draws: int, report: Progress) -> Array:
    """float64[n, draws]: the true law of each trip of `sample`, in its order."""
    world = make_world(config)
    topology = world.graph.topology
    engine = open_engine(topology, find_order(topology), world.graph.free_s)
    days = range(int(sample.day.min()), int(sample.day.max()) + 1)
    law: Array = np.empty((len(sample), draws))
    for replayed in replay_days(world, engine, days):
        rows = np.flatnonzero(sample.day == replayed.day)
        trips = sample.trip_id[rows] - replayed.day * MOST_A_DAY
        law[rows] = laws_of_day(world, replayed, trips, draws)
        report((replayed.day - days.start + 1) / len(days), f"true laws of day {replayed.day + 1}")
    return law
