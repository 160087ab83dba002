"""Step `features`: one Parquet file per feature view, with one row per entity and snapshot time.

Each build reads the whole log: a row counts the events of the days before it, so rows of new snapshots need old files.

A row with timestamp t includes the events before t. It excludes an impression of exactly t, because Feast joins
inclusively (feature time <= event time).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import SLOTS, Array, Floats
from ctr_prediction.events.history import PublicCatalogue, logs_by_users
from ctr_prediction.features.aggregates import activity_at, campaigns_of, counts_table
from ctr_prediction.features.running import RunningCounts
from ctr_prediction.features.user_row import user_now
from infra.build.runner import Facts, StepContext
from infra.columns import DAY_S, HOUR_S, timestamps
from infra.live.kept_log import read_until


def compute_tables(context: StepContext) -> Facts:
    """Process blocks of users: write the user rows of each block and add up the counts of ads."""
    config: CtrConfig = context.config
    world, live = context.inputs["world"], context.inputs["live"]
    catalogue = PublicCatalogue.read(world)
    times = SnapshotTimes.of(config, read_until(live))
    of_ads = Counts.none(len(times.ads), len(catalogue.ads))
    with Views(context.out) as views:
        views.add("user_profile", user_profile(catalogue, times))
        for users, log in logs_by_users(world, live, catalogue):
            ids = np.arange(users.start, users.stop, dtype=np.int64)
            views.add("user_activity", *(activity_at(log, config, t) for t in times.daily[1:].tolist()))
            views.add("user_now", user_now(log, catalogue, config, float(times.daily[-1]), ids))
            running = RunningCounts(len(catalogue.ads), config.features.window_days * DAY_S)
            for index, t in enumerate(times.ads.tolist()):
                of_ads.add(index, *running.at(log, t))
            context.report(0.9 * users.stop / len(catalogue.people), f"{users.stop:,} users: {views.rows:,} rows")
        views.add("ad_stats", *ad_stats(of_ads, catalogue, times))
        views.add("campaign_stats", *campaign_stats(of_ads, catalogue, times))
    return {"rows": views.rows}


class Views:
    """Incremental writers, one Parquet file per view; `rows` is the total number of rows written so far."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._writers, self.rows = directory, dict[str, pq.ParquetWriter](), 0

    def __enter__(self) -> Views:
        return self

    def __exit__(self, *raised: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def add(self, view: str, *tables: pa.Table) -> None:
        table = pa.concat_tables(tables)
        if view not in self._writers:
            self._writers[view] = pq.ParquetWriter(self._directory / f"{view}.parquet", table.schema)
        self._writers[view].write_table(table)
        self.rows += len(table)


@dataclass(frozen=True)
class Counts:
    """Counts of n ads at t snapshot times: `shown` float32[t, n, SLOTS] and `clicks` float32[t, n]."""

    shown: Floats
    clicks: Floats

    @classmethod
    def none(cls, times: int, size: int) -> Counts:
        return cls(np.zeros((times, size, SLOTS), np.float32), np.zeros((times, size), np.float32))

    def add(self, index: int, shown: Floats, clicks: Floats) -> None:
        self.shown[index] += shown
        self.clicks[index] += clicks


@dataclass(frozen=True)
class SnapshotTimes:
    """Snapshot times of the features, in seconds since the epoch: users daily, ads every few hours, and all of them
    once more at the end of the live log."""

    daily: Array
    ads: Array

    @classmethod
    def of(cls, config: CtrConfig, until: float = 0.0) -> SnapshotTimes:
        """The snapshot times of the generated history, extended to `until` if that is later."""
        first = pd.Timestamp(config.world.start).timestamp()
        last = first + config.world.days * DAY_S
        step = config.features.ad_snapshot_h * HOUR_S
        if until <= last:
            return cls(np.arange(first, last + 1, DAY_S), np.arange(first, last + 1, step))
        daily, ads = (np.append(np.arange(first, until, every), until) for every in (DAY_S, step))
        return cls(daily, ads)


def user_profile(catalogue: PublicCatalogue, times: SnapshotTimes) -> pa.Table:
    """The constant features of each user, one row at the start and one at the end."""
    people = pa.Table.from_pandas(catalogue.people, preserve_index=False)
    edges = (float(times.daily[0]), float(times.daily[-1]))
    return pa.concat_tables([people.append_column("feature_ts", timestamps(np.full(len(people), t))) for t in edges])


def ad_stats(counts: Counts, catalogue: PublicCatalogue, times: SnapshotTimes) -> Iterator[pa.Table]:
    """Impressions and clicks of every ad that has started, per snapshot time."""
    start = catalogue.ads["start_ts"].to_numpy()
    for t, shown, clicks in zip(times.ads.tolist(), counts.shown, counts.clicks, strict=True):
        there = np.flatnonzero(start <= t)
        yield _prefixed(counts_table("ad_id", there, shown[there], clicks[there], t), "ad")


def campaign_stats(counts: Counts, catalogue: PublicCatalogue, times: SnapshotTimes) -> Iterator[pa.Table]:
    """Impressions and clicks of every campaign, per snapshot time. `counts` are those of ads."""
    everyone = np.arange(len(catalogue.campaigns))
    for t, *of_ads in zip(times.ads.tolist(), counts.shown, counts.clicks, strict=True):
        shown, clicks = campaigns_of((of_ads[0], of_ads[1]), catalogue)
        yield _prefixed(counts_table("campaign_id", everyone, shown, clicks, t), "campaign")


def _prefixed(table: pa.Table, prefix: str) -> pa.Table:
    return table.rename_columns(
        [f"{prefix}_{name}" if name in ("shown", "clicks") else name for name in table.schema.names]
    )
