"""Step `index`: embed every post that is alive and write the snapshot that serving maps."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from feed_ranking.config import FeedConfig
from feed_ranking.domain import CREATOR_COLUMNS, STATS, PostFeatures
from feed_ranking.events.history import read_catalogue
from feed_ranking.features.aggregates import REGIONS, hottest
from feed_ranking.features.views import open_store
from feed_ranking.items.snapshot import write_snapshot
from feed_ranking.items.vector_index import VectorIndex
from feed_ranking.model.artifact import load_bundle
from feed_ranking.model.inputs import post_inputs, post_tower_inputs
from feed_ranking.offline.samples import join_posts
from infra.build.runner import Facts, StepContext
from infra.columns import HOUR_S
from infra.live.kept_log import read_until

TRENDING_POSTS = 1000


def build(context: StepContext) -> Facts:
    config: FeedConfig = context.config
    registered = json.loads((context.inputs["train"] / "registered.json").read_text())
    bundle = load_bundle(context.inputs["train"] / "bundle", registered["digest"])
    world, live = context.inputs["world"], context.inputs["live"]
    now = read_until(live)
    every = read_catalogue(world, live).posts
    alive = posts_alive(every, now, config.world.post_life_h)
    at = pd.to_datetime(pd.Series(np.full(len(alive), now)), unit="s", utc=True)
    store = open_store(context.inputs["materialize"], context.settings)
    posts = join_posts(store, alive["post_id"], alive["creator_id"], at)
    context.report(0.5, f"{len(alive):,} posts alive")

    item_side = post_inputs(posts, bundle.priors)
    embeddings = bundle.post_tower(post_tower_inputs(posts, item_side))
    old = int(np.searchsorted(posts.published_ts, now - config.index.index_lag_h * HOUR_S))
    index = VectorIndex.build(config.index.index, embeddings[:old])
    creators = pq.read_table(context.inputs["features"] / "creator_stats.parquet").to_pandas()
    newest = creators[creators["feature_ts"] == creators["feature_ts"].max()].sort_values("creator_id")
    ads = pq.read_metadata(world / "ads.parquet").num_rows
    snapshot = context.out / "snapshot"
    snapshot.mkdir()
    write_snapshot(
        snapshot,
        alive["post_id"].to_numpy(),
        posts,
        item_side=item_side,
        embeddings=embeddings,
        trending=hottest(heat_of(posts), TRENDING_POSTS),
        creator_stats=newest[list(CREATOR_COLUMNS)].to_numpy(np.float32),
        creators_region=newest["creator_region"].to_numpy(np.int64),
        expired_id=np.setdiff1d(every["post_id"].to_numpy(np.int64), alive["post_id"].to_numpy(np.int64)),
        index=index,
        meta={"model_digest": registered["digest"], "world_now": now, "priors": asdict(bundle.priors), "ads": ads},
    )
    return {"posts": len(alive), "indexed": old, "index": config.index.index}


def posts_alive(posts: pd.DataFrame, now_ts: float, life_h: float) -> pd.DataFrame:
    """The posts that may be shown at `now_ts`, in order of publication."""
    published = posts["published_ts"]
    return posts[(published < now_ts) & (published >= now_ts - life_h * HOUR_S)].reset_index(drop=True)


def heat_of(posts: PostFeatures) -> npt.NDArray[np.float32]:
    """float32[regions, posts]: the heat columns of `posts`."""
    return np.stack([posts.stats[:, STATS.index(f"heat_{region}")] for region in range(REGIONS)])
