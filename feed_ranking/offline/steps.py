"""Step `world`: make the world, let its people use the old feed, write the log and the public catalogue.

Only what a real system would have is written: events, posts, follows. Tastes and qualities stay in the world.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feed_ranking.config import FeedConfig
from feed_ranking.world.history import DAY_S, log_days
from feed_ranking.world.oracle import make_world
from feed_ranking.world.posts import end_ts, start_ts
from infra.pipeline.steps import Facts, StepContext


def write_history(context: StepContext) -> Facts:
    """Write `log/date=…/part-0.parquet`, `posts.parquet` and `follows.parquet`."""
    config: FeedConfig = context.config
    world = make_world(config.world)
    posts, people = world.posts, world.people
    catalogue = {
        "post_id": np.arange(config.world.posts, dtype=np.int64),
        "creator_id": posts.creator.astype(np.int64),
        "topic": posts.topic.astype(np.int64),
        "published_ts": posts.published_ts,
    }
    pq.write_table(pa.table(catalogue), context.out / "posts.parquet")
    user, slot = np.nonzero(people.follows >= 0)
    follows = {"user_id": user.astype(np.int64), "creator_id": people.follows[user, slot]}
    pq.write_table(pa.table(follows), context.out / "follows.parquet")
    creators = {"creator_id": np.arange(config.world.creators), "topic": posts.creator_topic.astype(np.int64)}
    pq.write_table(pa.table(creators), context.out / "creators.parquet")

    impressions = clicks = 0
    for day, table in log_days(world):
        date = datetime.fromtimestamp(start_ts(config.world) + day * DAY_S, UTC).date()
        directory = context.out / "log" / f"date={date}"
        directory.mkdir(parents=True)
        pq.write_table(table, directory / "part-0.parquet")
        impressions += len(table)
        clicks += int(np.count_nonzero(table["clicked"].to_numpy()))
        context.report((day + 1) / config.world.days, f"{impressions:,} impressions")
    return {
        "impressions": impressions,
        "click_rate": round(clicks / impressions, 4),
        "world_now": end_ts(config.world),
    }
