"""Step `world`: generate the world, simulate its users under the logging policy, write the log and the catalogue.

The output contains only facts that a production system has: events, posts, creators, follows and declared topics.
Tastes, qualities and bait are not written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feed_ranking.config import FeedConfig
from feed_ranking.world.history import ADS, Popularity, log_day
from feed_ranking.world.truth import World, make_world
from infra.build.runner import Facts, StepContext
from infra.simulation.days import day_file, read_day, write_day
from infra.simulation.streams import end_ts, start_ts


def write_history(context: StepContext) -> Facts:
    """Write `log/date=…/part-0.parquet`, `people`, `creators`, `posts`, `follows` and `ads`."""
    config: FeedConfig = context.config
    world = make_world(config.world)
    write_catalogue(world, context.out)
    days = config.world.days
    written = write_log(
        world, context.out, lambda day, rows: context.report((day + 1) / days, f"day {day + 1}: {rows:,} impressions")
    )
    return {
        "impressions": sum(rows for rows, _ in written),
        "click_rate": round(sum(clicks for _, clicks in written) / sum(rows for rows, _ in written), 4),
        "world_now": end_ts(config.world),
    }


def write_log(world: World, directory: Path, report: Callable[[int, int], None]) -> list[tuple[int, int]]:
    """Write the missing days, one file each; returns (impressions, clicks) of every day.

    Existing days are not changed, so a longer history only adds days.
    """
    popularity, written = Popularity.none(world), []
    for day in range(world.config.days):
        file = day_file(directory / "log", start_ts(world.config, day))
        table = read_day(file, ["post_id", "clicked"])
        if table is None:
            table = log_day(world, day, popularity)
            write_day(file, table)
        popularity = popularity.after(table)
        written.append((len(table), pc.sum(table["clicked"]).as_py()))
        report(day, len(table))
    return written


def write_catalogue(world: World, directory: Path) -> None:
    """Write the public facts about users, creators, posts and follows."""
    people, creators, posts, graph = world.people, world.creators, world.posts, world.graph
    tables = {
        "people": {
            "user_id": np.arange(len(people.region)),
            "region": people.region,
            **{f"declared_{place}": people.declared[:, place] for place in range(people.declared.shape[1])},
        },
        "creators": {
            "creator_id": np.arange(len(creators)),
            "topic": creators.topic,
            "region": creators.region,
            "joined_ts": creators.joined_ts,
        },
        "posts": {
            "post_id": np.arange(len(posts)),
            "creator_id": posts.creator,
            "topic": posts.topic,
            "media": posts.media,
            "quality_signal": posts.quality_signal,
            "bait_signal": posts.bait_signal,
            "published_ts": posts.published_ts,
        },
        "follows": {
            "user_id": graph.user.astype(np.int64),
            "creator_id": graph.creator.astype(np.int64),
            "since_ts": creators.joined_ts[graph.creator],
        },
        "ads": {"ad_id": np.arange(ADS)},
    }
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), directory / f"{name}.parquet")
