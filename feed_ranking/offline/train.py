"""Step `train`: fit the towers and both rankers, export the four networks, and register them as one model version.

The networks share a version because they only work together: the rankers read the towers' score, and the light ranker
selects the input of the heavy ranker. A killed training resumes from its checkpoints; the step deletes them at the end.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from feed_ranking.config import FeedConfig, ObjectiveConfig
from feed_ranking.model.artifact import NETWORKS
from feed_ranking.model.inputs import (
    LIGHT_NAMES,
    Context,
    Priors,
    post_inputs,
    post_tower_inputs,
    ranker_inputs,
    ranker_names,
    user_tower_inputs,
)
from feed_ranking.offline.networks.rankers import HEADS, examination, fit_ranker
from feed_ranking.offline.networks.rankers import LEARNING_RATE as RANKER_RATE
from feed_ranking.offline.networks.towers import LEARNING_RATE as TOWER_RATE
from feed_ranking.offline.networks.towers import TwoTower, fit_towers
from feed_ranking.offline.samples import Sample
from infra.build.runner import Facts, StepContext
from infra.progress import Progress
from infra.registry.manifest import write_manifest
from infra.registry.mlflow_registry import MlflowRegistry
from infra.training.fitting import Plan
from infra.training.networks import Floats, keep_compiled
from infra.training.onnx_graph import export
from infra.training.row_mix import live_weights
from infra.training.warm_start import EMPTY, served_weights, write_weights

PART_ROWS = 65_536
"""rows whose inputs are computed at once"""


def fit_and_register(context: StepContext) -> Facts:
    """Write the bundle (four networks and a manifest), `weights.npz` and `registered.json`."""
    config: FeedConfig = context.config
    seed = config.world.seed
    keep_compiled(context.settings.home)
    checkpoints = context.settings.design_root(context.design.name) / "checkpoints" / context.out.stem
    sample = with_live_weight(config, Sample.read(context.inputs["sample"] / "train.npz"))
    priors = priors_of(sample, config.world.topics)
    weights = served_weights(context) if config.heavy.warm_start == "yes" else EMPTY

    def plan(name: str, epochs: int, batch: int, rate: float) -> Plan:
        return Plan(epochs, batch, rate, seed, checkpoints / name)

    def part(name: str, first: float, last: float) -> Progress:
        return lambda share, text: context.report(first + (last - first) * share, f"{name}, {text}")

    clicked = np.flatnonzero(sample.clicked)
    clicked_posts = sample.posts.take(clicked)
    tower_fit = fit_towers(
        user_tower_inputs(sample.users, priors)[sample.slate_of[clicked]],
        post_tower_inputs(clicked_posts, post_inputs(clicked_posts, priors)),
        sample.post_id[clicked],
        worth_s(sample, config.objective)[clicked] * sample.weight[clicked],
        config.towers,
        plan("towers", config.towers.tower_epochs, config.towers.tower_batch, TOWER_RATE),
        part("towers", 0.0, 0.15),
        weights,
    )
    towers = tower_fit.model
    context.report(0.15, f"computing {len(ranker_names(config.world.topics))} inputs of {len(sample):,} impressions")
    x = sample_inputs(sample, towers, priors)
    light_columns = light_positions(config.world.topics)
    light_x = np.ascontiguousarray(x[:, light_columns])
    light_hidden = (config.light.light_hidden, config.light.light_hidden)
    light = fit_ranker(
        light_x,
        sample,
        light_hidden,
        plan("light", config.light.light_epochs, config.heavy.ranker_batch, 2 * RANKER_RATE),
        part("light ranker", 0.25, 0.35),
        "light",
        weights,
    )
    width = config.heavy.heavy_hidden
    heavy = fit_ranker(
        x,
        sample,
        (width, width * 5 // 8, width // 4),
        plan("heavy", config.heavy.heavy_epochs, config.heavy.ranker_batch, RANKER_RATE),
        part("heavy ranker", 0.35, 0.8),
        "heavy",
        weights,
    )

    context.report(0.82, "exporting to ONNX")
    write_weights(context.out, {"towers": towers, "light": light.model, "heavy": heavy.model})
    bundle = context.out / "bundle"
    bundle.mkdir()
    user_x = user_tower_inputs(sample.users.take(np.arange(min(256, len(sample.users)))), priors)
    some = sample.posts.take(np.arange(256))
    post_x = post_tower_inputs(some, post_inputs(some, priors))
    functions = {
        "user_tower": (towers.embed_users, towers.user_nodes, user_x),
        "post_tower": (towers.embed_posts, towers.post_nodes, post_x),
        "light": (light.model.heads, light.model.nodes, light_x[:256]),
        "heavy": (heavy.model.heads, heavy.model.nodes, x[:256]),
    }
    for name in NETWORKS:
        function, nodes, rows = functions[name]
        export(function, nodes, bundle / f"{name}.onnx", rows)
    meta: dict[str, Any] = {
        "ranker_inputs": list(ranker_names(config.world.topics)),
        "light_inputs": list(LIGHT_NAMES),
        "heads": list(HEADS),
        "widths": {name: int(rows.shape[1]) for name, (*_, rows) in functions.items()},
        "dimension": config.towers.tower_dimension,
        "priors": asdict(priors),
        "examination": {
            name: [round(float(value), 5) for value in examination(fit)]
            for name, fit in (("light", light), ("heavy", heavy))
        },
    }
    write_manifest(bundle, meta)

    context.report(0.95, "registering in MLflow")
    losses = {"tower_loss": tower_fit.losses[-1], "light_loss": light.losses[-1], "heavy_loss": heavy.losses[-1]}
    params = {**asdict(config.sample), **asdict(config.towers), **asdict(config.light), **asdict(config.heavy)}
    version = MlflowRegistry(context.settings).register(
        context.model_name, bundle, params=params | {"seed": seed}, metrics=losses
    )
    (context.out / "registered.json").write_text(
        json.dumps({"name": version.name, "version": version.version, "digest": version.digest})
    )
    shutil.rmtree(checkpoints, ignore_errors=True)
    return {"version": version.version, "impressions": len(sample), "heavy_loss": round(heavy.losses[-1], 4)}


def with_live_weight(config: FeedConfig, sample: Sample) -> Sample:
    """The sample in which a live row counts `live_weight` times as much."""
    of_live = live_weights(sample.request_ts, config.world, config.sample.live_weight)
    return replace(sample, weight=sample.weight * of_live)


def priors_of(sample: Sample, topics: int) -> Priors:
    """The global rates of the training data."""
    clicks = max(float(sample.clicked.sum()), 1.0)
    return Priors(
        click_rate=float(np.average(sample.clicked, weights=sample.weight)),
        like_rate=float(sample.liked.sum()) / clicks,
        comment_rate=float(sample.commented.sum()) / clicks,
        dwell_s=float(sample.dwell_s.sum()) / clicks,
        topics=topics,
        follow_shares=tuple(float(share) for share in sample.users.follow_topics.mean(axis=0)),
    )


def worth_s(sample: Sample, objective: ObjectiveConfig) -> Floats:
    """float32[n]: the observed value of each impression, in seconds of attention."""
    worth: Floats = (
        objective.click_weight * sample.clicked
        + objective.dwell_weight * sample.dwell_s
        + objective.like_weight * sample.liked
        + objective.comment_weight * sample.commented
    )
    return worth


def light_positions(topics: int) -> list[int]:
    """Indices of the light ranker's inputs among the ranker inputs."""
    names = ranker_names(topics)
    return [names.index(name) for name in LIGHT_NAMES]


def sample_inputs(sample: Sample, towers: TwoTower, priors: Priors) -> Floats:
    """float32[n, ranker inputs]: the inputs of the rankers for the impressions of `sample`. Only the result has the
    size of the sample: intermediate values are those of a part of the rows."""
    users = np.asarray(towers.embed_users(jnp.asarray(user_tower_inputs(sample.users, priors))))
    found = np.empty((len(sample), len(ranker_names(priors.topics))), np.float32)
    for first in range(0, len(sample), PART_ROWS):
        rows = np.arange(first, min(first + PART_ROWS, len(sample)))
        slates, slate_of = np.unique(sample.slate_of[rows], return_inverse=True)
        posts = sample.posts.take(rows)
        item_side = post_inputs(posts, priors)
        embedded = np.asarray(towers.embed_posts(jnp.asarray(post_tower_inputs(posts, item_side))))
        score = np.einsum("nd,nd->n", users[slates][slate_of], embedded)
        when = Context(sample.request_ts[rows], sample.depth[rows], sample.creator_before[rows])
        found[rows] = ranker_inputs(sample.users.take(slates), posts, item_side, score, when, priors, slate_of)
    return found
