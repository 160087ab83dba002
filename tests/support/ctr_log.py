"""An ads world, large enough to estimate its parameters from its log; generated once per test run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ctr_prediction.config import WorldConfig
from ctr_prediction.world.history import State, log_day
from ctr_prediction.world.policy import Eligible
from ctr_prediction.world.truth import World, make_world

CONFIG = WorldConfig(
    users=2_000,
    segments=16,
    publishers=12,
    campaigns=60,
    new_ads_per_day=6,
    targeted_segments=6,
    requests_per_day=20_000,
    days=6,
    randomised_share=0.5,
    budget_clicks=60.0,
    click_bias=-2.5,  # more clicks than usual, so that a log of this size has enough of them
    cross_share=0.05,
    retargeted_share=0.15,
)
Log = dict[str, npt.NDArray[np.generic]]


@cache
def world() -> World:
    return make_world(CONFIG)


def log_days(world: World) -> Iterator[tuple[int, pa.Table]]:
    """Yield (day, table of impressions in order of time) for each day of the log."""
    state, eligible = State.none(world), Eligible.of(world)
    for day in range(world.config.days):
        yield day, log_day(world, day, state, eligible)


@cache
def log() -> Log:
    """Return every column of the whole log. Times are in seconds; NaN marks an impression without a click."""
    tables = [table for _, table in log_days(world())]
    columns = {name: np.concatenate([t[name].to_numpy() for t in tables]) for name in tables[0].column_names}
    for name in ("request_ts", "label_ts"):
        times = columns[name].astype("datetime64[us]")
        columns[name] = np.where(np.isnat(times), np.nan, times.astype(np.int64) / 1e6)
    return columns
