"""Step `world`: generate the world, simulate the logging policy's auctions, write the log and the catalogue.

The output contains only facts that a production system has: impressions and clicks, ads, campaigns, publishers, and
public attributes of users. Tastes and leanings are not written.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import NONE
from ctr_prediction.world.history import State, log_day, pass_day
from ctr_prediction.world.policy import Eligible
from ctr_prediction.world.streams import start_ts
from ctr_prediction.world.truth import World, make_world
from infra.build.runner import Facts, StepContext
from infra.columns import DAY_S


def write_history(context: StepContext) -> Facts:
    """Write `log/date=…/part-0.parquet`, `people`, `ads`, `campaigns` and `publishers`."""
    config: CtrConfig = context.config
    world = make_world(config.world)
    write_catalogue(world, context.out)
    days = config.world.days
    written = write_log(
        world, context.out, lambda day, rows: context.report((day + 1) / days, f"day {day + 1}: {rows:,} impressions")
    )
    shown, clicks = (sum(column) for column in zip(*written, strict=True))
    end = start_ts(config.world) + days * DAY_S
    return {"impressions": shown, "click_rate": round(clicks / shown, 4), "world_now": end}


def write_log(world: World, directory: Path, report: Callable[[int, int], None]) -> list[tuple[int, int]]:
    """Write the missing days, one file each; returns (impressions, clicks) of every day.

    Existing days are not changed, so a longer history only adds days.
    """
    state, eligible, written = State.none(world), Eligible.of(world), []
    for day in range(world.config.days):
        date = datetime.fromtimestamp(start_ts(world.config) + day * DAY_S, UTC).date()
        file = directory / "log" / f"date={date}" / "part-0.parquet"
        if file.exists():
            table = pq.read_table(file, partitioning=None)
            pass_day(world, day, state, table)
        else:
            table = log_day(world, day, state, eligible)
            file.parent.mkdir(parents=True)
            pq.write_table(table, file.with_suffix(".partial"))
            file.with_suffix(".partial").rename(file)
        written.append((len(table), pc.sum(table["clicked"]).as_py()))
        report(day, len(table))
    return written


def write_catalogue(world: World, directory: Path) -> None:
    """Write the public facts about users, ads, campaigns and publishers."""
    people, ads, campaigns, publishers = world.people, world.ads, world.campaigns, world.publishers
    audience = [row[row != NONE].tolist() for row in world.retargeting.ads]
    tables = {
        "people": {
            "user_id": np.arange(len(people.segment)),
            "segment": people.segment,
            "age": people.age,
            "gender": people.gender,
            "audience": pa.array(audience, pa.list_(pa.int64())),
        },
        "ads": {
            "ad_id": np.arange(len(ads.campaign)),
            "campaign_id": ads.campaign,
            "creative_id": ads.creative,
            "start_ts": ads.start_ts,
        },
        "campaigns": {
            "campaign_id": np.arange(len(campaigns.bid)),
            "bid": campaigns.bid,
            "budget": campaigns.budget,
            "segments": pa.array([np.flatnonzero(row).tolist() for row in campaigns.targets], pa.list_(pa.int64())),
        },
        "publishers": {"publisher_id": np.arange(len(publishers.slots)), "slots": publishers.slots},
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), directory / f"{name}.parquet")
