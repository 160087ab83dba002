"""Step `train`: join, fit the towers, fit the ranker, export all three, register them as one version.

The towers learn from the first days and the ranker from later ones, so that the retrieval score the ranker sees
is as far from its training data as it will be in serving. The last days are left for evaluation.
"""

from __future__ import annotations

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from feed_ranking.config import FeedConfig
from feed_ranking.features import (
    RANKER_INPUTS,
    default_user,
    open_store,
    post_tower_inputs,
    ranker_inputs,
    user_tower_inputs,
)
from feed_ranking.offline.dataset import DAY_S, join_posts, join_users, read_log
from feed_ranking.offline.networks import export, prepare_export
from feed_ranking.offline.ranker import fit_ranker
from feed_ranking.offline.towers import fit_towers
from infra.pipeline.steps import Facts, StepContext
from infra.registry.manifest import write_manifest
from infra.registry.mlflow_registry import MlflowRegistry

TOWER_SHARE, EVALUATION_DAYS = 0.5, 2
LOG_COLUMNS = ["slate_id", "user_id", "post_id", "creator_id", "position", "request_ts", "clicked"]


def fit_and_register(context: StepContext) -> Facts:
    """Write the bundle (three networks and a manifest) and `registered.json`."""
    config: FeedConfig = context.config
    seed, topics = config.world.seed, config.world.topics
    jax.config.update("jax_compilation_cache_dir", str(context.settings.home.resolve() / ".jax"))
    exporter = prepare_export()
    store = open_store(context.inputs["materialize"])
    log = read_log(context.inputs["world"], LOG_COLUMNS)
    start = log["request_ts"].min().floor("D")
    day = ((log["request_ts"] - start).dt.total_seconds() // DAY_S).astype(int)
    last_day = config.world.days - EVALUATION_DAYS
    tower_days = max(1, int(last_day * TOWER_SHARE))
    meta: dict[str, Any] = {"topics": topics, "mean_ctr": float(log["clicked"][day < last_day].mean())}
    default = default_user(meta)

    context.report(0.02, "joining the towers' clicks")
    clicks = log[(day < tower_days) & log["clicked"]]
    clicked_by = join_users(store, clicks["user_id"], clicks["request_ts"], default)
    clicked_posts = join_posts(store, clicks["post_id"], clicks["creator_id"], clicks["request_ts"])
    user_x, post_x = user_tower_inputs(clicked_by), post_tower_inputs(clicked_posts, topics)
    towers = fit_towers(
        user_x, post_x, clicks["post_id"].to_numpy(), config.towers, seed, lambda s, t: context.report(0.1 + 0.3 * s, t)
    )

    context.report(0.42, "joining the ranker's impressions")
    sample = sample_slates(log[(day >= tower_days) & (day < last_day)], config.ranker.sample, seed)
    slates = sample.drop_duplicates("slate_id")
    users = join_users(store, slates["user_id"], slates["request_ts"], default)
    slate_of = np.searchsorted(slates["slate_id"].to_numpy(), sample["slate_id"].to_numpy())
    posts = join_posts(store, sample["post_id"], sample["creator_id"], sample["request_ts"])
    context.report(0.6, f"{len(sample):,} impressions joined")
    user_vectors = np.asarray(towers.model.embed_users(jnp.asarray(user_tower_inputs(users))))
    post_vectors = np.asarray(towers.model.embed_posts(jnp.asarray(post_tower_inputs(posts, topics))))
    tower_score = np.einsum("nd,nd->n", user_vectors[slate_of], post_vectors)
    now_ts = sample["request_ts"].to_numpy("datetime64[us]").astype(np.int64) / 1e6
    x = ranker_inputs(users.take(slate_of), posts, tower_score, now_ts)
    ranker = fit_ranker(
        x,
        sample["position"].to_numpy(),
        sample["clicked"].to_numpy(np.float32),
        config.ranker,
        seed,
        lambda s, t: context.report(0.6 + 0.25 * s, t),
    )

    context.report(0.87, "exporting to ONNX")
    exporter.join()
    bundle = context.out / "bundle"
    bundle.mkdir()
    export(ranker.model.relevance, x.shape[1], bundle / "ranker.onnx", x[:256])
    export(towers.model.embed_users, user_x.shape[1], bundle / "user_tower.onnx", user_x[:256])
    export(towers.model.embed_posts, post_x.shape[1], bundle / "post_tower.onnx", post_x[:256])
    meta |= {
        "ranker_inputs": list(RANKER_INPUTS),
        "user_tower_inputs": user_x.shape[1],
        "post_tower_inputs": post_x.shape[1],
        "dimension": config.towers.dimension,
        "examination": [round(float(value), 5) for value in ranker.examination],
        "trained_until": str(start + pd.Timedelta(days=last_day)),
    }
    write_manifest(bundle, meta)

    context.report(0.95, "registering in MLflow")
    version = MlflowRegistry(context.settings).register(
        f"{context.design.name}-{context.settings.preset}",
        bundle,
        params={**vars(config.towers), **{f"ranker_{k}": v for k, v in vars(config.ranker).items()}, "seed": seed},
        metrics={"tower_loss": towers.losses[-1], "ranker_loss": ranker.losses[-1]},
    )
    (context.out / "registered.json").write_text(
        json.dumps({"name": version.name, "version": version.version, "digest": version.digest})
    )
    return {
        "version": version.version,
        "clicks": len(clicks),
        "impressions": len(sample),
        "ranker_loss": round(ranker.losses[-1], 4),
    }


def sample_slates(log: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Whole slates, at most `rows` impressions, in the order of the log."""
    if len(log) <= rows:
        return log
    ids = log["slate_id"].unique()
    keep = np.random.default_rng(seed).choice(ids, int(len(ids) * rows / len(log)), replace=False)
    return log[log["slate_id"].isin(keep)]
