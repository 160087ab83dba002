"""A feed world, large enough to estimate its parameters from its log; generated once per test run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feed_ranking.config import WorldConfig
from feed_ranking.world.history import Popularity, log_day
from feed_ranking.world.truth import World, make_world

CONFIG = WorldConfig(
    users=1500,
    creators_at_start=150,
    new_creators_per_day=5,
    posts_per_day=400,
    days=6,
    sessions_per_user_day=1.5,
    randomised_share=0.3,
    burst_share=0.1,  # more bursts than usual, so that a log of this size has enough of them
)
Log = dict[str, npt.NDArray[np.generic]]


@cache
def world() -> World:
    return make_world(CONFIG)


def log_days(world: World) -> Iterator[tuple[int, pa.Table]]:
    """Yield (day, table of impressions) for each day of the log."""
    popularity = Popularity.none(world)
    for day in range(world.config.days):
        table = log_day(world, day, popularity)
        popularity = popularity.after(table)
        yield day, table


@cache
def log() -> Log:
    """Return every column of the whole log, ads included. Times are in seconds."""
    tables = [table for _, table in log_days(world())]
    columns = {name: np.concatenate([t[name].to_numpy() for t in tables]) for name in tables[0].column_names}
    for name in ("request_ts", "event_ts", "label_ts"):
        columns[name] = columns[name].astype("datetime64[us]").astype(np.int64) / 1e6
    return columns


@cache
def organic() -> Log:
    """Return every column of the log without the impressions of ads."""
    return {name: values[log()["post_id"] >= 0] for name, values in log().items()}
