"""Page requests: user, publisher, device and time.

Lesson: **time of day**. Traffic peaks in the evening, when campaigns may have spent their daily budgets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ctr_prediction.domain import DEVICES, Array, Ints
from ctr_prediction.world.truth import World
from infra.columns import HOUR_S
from infra.simulation.streams import start_ts, stream

PEAK_HOUR, SWING = 20, 0.6
MAIN_DEVICE_SHARE = 0.8


@dataclass(frozen=True)
class Requests:
    """The requests of one day, ordered by time, all arrays [n]: `user`, `publisher`, `device` int64; `at_ts` float64,
    whole milliseconds."""

    user: Ints
    publisher: Ints
    device: Ints
    at_ts: Array

    def __len__(self) -> int:
        return len(self.user)

    def between(self, first: int, last: int) -> Requests:
        return Requests(*(getattr(self, name)[first:last] for name in self.__annotations__))


def hourly_load() -> Array:
    """float64[24], mean 1: relative number of requests in each hour, UTC."""
    load: Array = 1 + SWING * np.cos(2 * np.pi * (np.arange(24) - PEAK_HOUR) / 24)
    return load


def draw_requests(world: World, day: int) -> Requests:
    config = world.config
    rng = stream(config.seed, "requests", day)
    count = rng.poisson(config.requests_per_day)
    load = hourly_load()
    hour = np.sort(rng.choice(24, count, p=load / load.sum()) + rng.random(count))
    mass = np.cumsum(world.people.activity)
    user = np.minimum(np.searchsorted(mass, rng.random(count) * mass[-1]), config.users - 1).astype(np.int64)
    is_main = rng.random(count) < MAIN_DEVICE_SHARE
    return Requests(
        user=user,
        publisher=rng.choice(config.publishers, count, p=world.publishers.traffic).astype(np.int64),
        device=np.where(is_main, world.people.device[user], rng.integers(0, len(DEVICES), count)),
        at_ts=np.floor((start_ts(config, day) + hour * HOUR_S) * 1000) / 1000,
    )


def draw_visitor(world: World, rng: np.random.Generator) -> tuple[int, int, int]:
    """Draw one visit: (user, publisher, device)."""
    user = int(rng.choice(world.config.users, p=world.people.activity))
    publisher = int(rng.choice(world.config.publishers, p=world.publishers.traffic))
    is_main = rng.random() < MAIN_DEVICE_SHARE
    return user, publisher, int(world.people.device[user]) if is_main else int(rng.integers(0, len(DEVICES)))
