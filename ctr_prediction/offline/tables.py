"""Step `features`: one Parquet file per feature view, a row per entity and snapshot time.

A row stamped t says what was known just before t. Feast joins inclusively (feature time <= event time), so an
impression of exactly t must not be inside the row of t.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ctr_prediction.config import CtrConfig
from ctr_prediction.counting import (
    DAY_S,
    HOUR_S,
    EventLog,
    PublicCatalogue,
    activity_at,
    ad_stats_at,
    campaign_stats_at,
    counts_table,
    timestamps,
)
from ctr_prediction.domain import Array
from ctr_prediction.offline.live_log import event_log, read_until
from ctr_prediction.user_rows import user_now
from infra.pipeline.steps import Facts, StepContext


def compute_tables(context: StepContext) -> Facts:
    config: CtrConfig = context.config
    catalogue = PublicCatalogue.read(context.inputs["world"])
    log = event_log(context.inputs["world"], context.inputs["live"], catalogue)
    times = SnapshotTimes.of(config, read_until(context.inputs["live"]))
    makers = {
        "user_profile": lambda: user_profile(catalogue, times),
        "user_activity": lambda: pa.concat_tables([activity_at(log, config, t) for t in times.daily[1:].tolist()]),
        "user_now": lambda: user_now(
            log, catalogue, config, float(times.daily[-1]), np.arange(len(catalogue.people), dtype=np.int64)
        ),
        "ad_stats": lambda: ad_stats(log, catalogue, config, times),
        "campaign_stats": lambda: campaign_stats(log, catalogue, config, times),
    }
    rows = 0
    for index, (view, make) in enumerate(makers.items()):
        table = make()
        rows += len(table)
        pq.write_table(table, context.out / f"{view}.parquet")
        context.report((index + 1) / len(makers), f"{view}: {len(table):,} rows")
    return {"rows": rows}


@dataclass(frozen=True)
class SnapshotTimes:
    """When features were computed, in seconds since the epoch: users daily, ads every few hours, and all of them once
    more at the end of what happened live."""

    daily: Array
    ads: Array

    @classmethod
    def of(cls, config: CtrConfig, until: float = 0.0) -> SnapshotTimes:
        """Of the generated history, or up to `until` where that is later."""
        first = pd.Timestamp(config.world.start).timestamp()
        last = first + config.world.days * DAY_S
        step = config.features.ad_snapshot_h * HOUR_S
        if until <= last:
            return cls(np.arange(first, last + 1, DAY_S), np.arange(first, last + 1, step))
        daily, ads = (np.append(np.arange(first, until, every), until) for every in (DAY_S, step))
        return cls(daily, ads)


def user_profile(catalogue: PublicCatalogue, times: SnapshotTimes) -> pa.Table:
    """What does not change, at the begin and at the end."""
    people = pa.Table.from_pandas(catalogue.people, preserve_index=False)
    edges = (float(times.daily[0]), float(times.daily[-1]))
    return pa.concat_tables([people.append_column("feature_ts", timestamps(np.full(len(people), t))) for t in edges])


def ad_stats(log: EventLog, catalogue: PublicCatalogue, config: CtrConfig, times: SnapshotTimes) -> pa.Table:
    """Impressions and clicks of every ad that has started."""
    start, parts = catalogue.ads["start_ts"].to_numpy(), []
    for t in times.ads.tolist():
        there = np.flatnonzero(start <= t)
        shown, clicks = ad_stats_at(log, catalogue, config, t)
        parts.append(counts_table("ad_id", there, shown[there], clicks[there], t))
    return _prefixed(pa.concat_tables(parts), "ad")


def campaign_stats(log: EventLog, catalogue: PublicCatalogue, config: CtrConfig, times: SnapshotTimes) -> pa.Table:
    """The same of every campaign."""
    everyone, parts = np.arange(len(catalogue.campaigns)), []
    for t in times.ads.tolist():
        shown, clicks = campaign_stats_at(log, catalogue, config, t)
        parts.append(counts_table("campaign_id", everyone, shown, clicks, t))
    return _prefixed(pa.concat_tables(parts), "campaign")


def _prefixed(table: pa.Table, prefix: str) -> pa.Table:
    return table.rename_columns(
        [f"{prefix}_{name}" if name in ("shown", "clicks") else name for name in table.schema.names]
    )
