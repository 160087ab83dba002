"""Step `index`: write the snapshot of all ads and campaigns that serving reads, with the current counts."""

from __future__ import annotations

import json

import numpy as np

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import Array
from ctr_prediction.events.history import EventLog, PublicCatalogue, logs_by_users
from ctr_prediction.items.live_counts import LiveStats, stats_at
from ctr_prediction.items.snapshot import write_snapshot
from infra.build.runner import Facts, StepContext
from infra.columns import DAY_S
from infra.live.kept_log import read_until


def build(context: StepContext) -> Facts:
    config: CtrConfig = context.config
    world, live = context.inputs["world"], context.inputs["live"]
    registered = json.loads((context.inputs["train"] / "registered.json").read_text())
    catalogue, now = PublicCatalogue.read(world), read_until(live)
    stats: LiveStats | None = None
    hours, seen = np.ones(24), 0
    for users, log in logs_by_users(world, live, catalogue):
        counted = stats_at(log, catalogue, config, now)
        stats = counted if stats is None else stats.plus(counted)
        hours += hourly(log)
        seen += len(log)
        context.report(0.9 * users.stop / len(catalogue.people), f"{seen:,} impressions")
    assert stats is not None
    ads, campaigns = catalogue.ads, catalogue.campaigns
    targets = np.zeros((len(campaigns), config.world.segments), bool)
    for campaign, segments in enumerate(campaigns["segments"]):
        targets[campaign, segments] = True
    snapshot = context.out / "snapshot"
    snapshot.mkdir()
    write_snapshot(
        snapshot,
        {
            "campaign": ads["campaign_id"].to_numpy(np.int64),
            "creative": ads["creative_id"].to_numpy(np.int64),
            "start_ts": ads["start_ts"].to_numpy(np.float64),
            "bid": campaigns["bid"].to_numpy(np.float64),
            "budget": campaigns["budget"].to_numpy(np.float64),
            "targets": targets,
            "user_segment": catalogue.people["segment"].to_numpy(np.int64),
            "hourly": hours / hours.sum(),
        },
        stats,
        {"model_digest": registered["digest"], "world_now": now},
    )
    return {"ads": len(ads), "campaigns": len(campaigns)}


def hourly(log: EventLog) -> Array:
    """float64[24]: impressions per hour of the day, UTC."""
    return np.bincount((log.at_s % DAY_S // 3600).astype(np.int64), minlength=24).astype(np.float64)
