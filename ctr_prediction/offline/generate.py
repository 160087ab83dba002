"""Step `world`: generate the world, simulate the logging policy's auctions, write the log and the catalogue.

The output contains only facts that a production system has: impressions and clicks, ads, campaigns, publishers, and
public attributes of users. Tastes and leanings are not written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import NONE
from ctr_prediction.world.history import State, log_day, pass_day
from ctr_prediction.world.policy import Eligible
from ctr_prediction.world.truth import World, make_world
from infra.build.runner import Facts, StepContext
from infra.simulation.days import day_file, read_day, write_day
from infra.simulation.streams import end_ts, start_ts


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
    return {"impressions": shown, "click_rate": round(clicks / shown, 4), "world_now": end_ts(config.world)}


def write_log(world: World, directory: Path, report: Callable[[int, int], None]) -> list[tuple[int, int]]:
    """Write the missing days, one file each; returns (impressions, clicks) of every day.

    Existing days are not changed, so a longer history only adds days.
    """
    state, eligible, written = State.none(world), Eligible.of(world), []
    for day in range(world.config.days):
        file = day_file(directory / "log", start_ts(world.config, day))
        table = read_day(file)
        if table is None:
            table = log_day(world, day, state, eligible)
            write_day(file, table)
        else:
            pass_day(world, day, state, table)
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
