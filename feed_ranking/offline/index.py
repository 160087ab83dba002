"""Step `index`: embed every post that is alive, and write the snapshot that serving maps."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pandas as pd

from feed_ranking.bundle import load_bundle
from feed_ranking.config import FeedConfig
from feed_ranking.features import open_store, post_tower_inputs
from feed_ranking.offline.dataset import HOUR_S, SnapshotTimes, join_posts, live_posts, read_log
from feed_ranking.snapshot import write_snapshot
from infra.pipeline.steps import Facts, StepContext

TRENDING_HALF_LIFE_H = 6.0
TRENDING_POSTS = 1000


def build(context: StepContext) -> Facts:
    config: FeedConfig = context.config
    registered = json.loads((context.inputs["train"] / "registered.json").read_text())
    bundle = load_bundle(context.inputs["train"] / "bundle", registered["digest"])
    now = SnapshotTimes.of(config).last
    alive = live_posts(context.inputs["world"], now, config.world.post_life_h)
    at = pd.to_datetime(pd.Series(np.full(len(alive), now)), unit="s", utc=True)
    store = open_store(context.inputs["materialize"])
    posts = join_posts(store, alive["post_id"], alive["creator_id"], at)
    context.report(0.5, f"{len(alive):,} posts alive")
    embeddings = bundle.post_tower(post_tower_inputs(posts, config.world.topics))
    hot = trending(read_log(context.inputs["world"], ["post_id", "event_ts", "clicked"]), now, config.world.posts)
    post_id = alive["post_id"].to_numpy()
    order = np.argsort(-hot[post_id], kind="stable")[:TRENDING_POSTS]
    snapshot = context.out / "snapshot"
    snapshot.mkdir()
    write_snapshot(
        snapshot, post_id, posts, embeddings, order, {"model_digest": registered["digest"], "world_now": now}
    )
    return {"posts": len(alive), "dimension": int(embeddings.shape[1])}


def trending(log: pd.DataFrame, now: float, posts: int) -> npt.NDArray[np.float64]:
    """float64[posts]: clicks of each post, halved for every `TRENDING_HALF_LIFE_H` that passed since."""
    clicks = log[log["clicked"]]
    age_h = (now - clicks["event_ts"].to_numpy("datetime64[us]").astype(np.int64) / 1e6) / HOUR_S
    weight = np.exp2(-age_h / TRENDING_HALF_LIFE_H)
    heat: npt.NDArray[np.float64] = np.bincount(clicks["post_id"].to_numpy(), weights=weight, minlength=posts).astype(
        np.float64
    )
    return heat
