"""`lab feedback feed_ranking`: weeks of a feed that trains on its own log.

Each week, a model ranks the posts for every session, and the next model is trained on the log of that week alone, with
the functions of the step `train`. A feed that trains only on what it showed never sees the posts that it rates too low.
The other feed also trains on a randomised bucket, and explores new creators. Both begin with the served model, and the
same users visit both.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from feed_ranking.config import FeedConfig
from feed_ranking.design import DESIGN
from feed_ranking.evaluation.simulated_days import Bools, Day, Model, SimulatedFeed
from feed_ranking.events.history import EventLog, read_log
from feed_ranking.model.artifact import load_bundle
from feed_ranking.model.inputs import post_inputs, post_tower_inputs, user_tower_inputs
from feed_ranking.offline.networks.rankers import LEARNING_RATE as RANKER_RATE
from feed_ranking.offline.networks.rankers import Ranker, fit_ranker
from feed_ranking.offline.networks.towers import LEARNING_RATE as TOWER_RATE
from feed_ranking.offline.networks.towers import fit_towers
from feed_ranking.offline.samples import Sample, concatenate
from feed_ranking.offline.train import priors_of, sample_inputs, worth_s
from infra.evaluation.feedback import Week
from infra.progress import Progress
from infra.registry.release import CURRENT, read_release
from infra.settings import Settings
from infra.training.click_metrics import auc
from infra.training.fitting import Plan
from infra.training.networks import Floats, keep_compiled

DAYS, PADDED = 7, 512
SESSIONS = 150
"""per simulated day"""
USERS = 150
"""users whose slates the oracle values at the end of each week"""


@dataclass(frozen=True)
class Loop:
    """How a feed collects its training data."""

    name: str
    epsilon: float
    randomised_share: float
    trains_on_bucket: bool


LOOPS = (
    Loop("own slates only", epsilon=0.0, randomised_share=0.05, trains_on_bucket=False),
    Loop("bucket and exploration", epsilon=0.2, randomised_share=0.25, trains_on_bucket=True),
)


def feedback(settings: Settings, weeks: int, report: Progress) -> list[Week]:
    """Simulate `weeks` of both loops. Raises `UsageError` without a build."""
    config: FeedConfig = DESIGN.configuration(settings.preset)
    root = settings.design_root(DESIGN.name)
    release = read_release(root)
    keep_compiled(settings.home)
    bundle = load_bundle(Path(release.model_path), release.model_digest)
    examination = np.asarray(bundle.meta["examination"]["heavy"])
    served = Model(bundle.user_tower, bundle.post_tower, bundle.heavy, bundle.priors, examination)
    feed = SimulatedFeed(config, weeks * DAYS + 1)
    world = Path(json.loads((root / CURRENT).read_text())["world"])
    history = EventLog.of(read_log(world, root / "no live log"), feed.catalogue)
    found: list[Week] = []
    for number, loop in enumerate(LOOPS):
        found += run_loop(feed, loop, served, history, weeks, _part(report, number, loop.name))
    return found


def run_loop(feed: SimulatedFeed, loop: Loop, model: Model, log: EventLog, weeks: int, report: Progress) -> list[Week]:
    """One row per week. Figures of a week belong to the model that served it; `captured` to the model trained on it."""
    rules = replace(feed.config.rerank, ads=0, epsilon=loop.epsilon, randomised_share=loop.randomised_share)
    users = np.random.default_rng(feed.config.world.seed).permutation(feed.config.world.users)[:USERS].astype(np.int64)
    found = []
    for week in range(weeks):
        days: list[Day] = []
        for day in range(week * DAYS, (week + 1) * DAYS):
            days.append(feed.day(model, log, day, SESSIONS, rules))
            log = log.extended(days[-1].log, feed.catalogue)
            report((day + 1) / (weeks * DAYS), f"day {day + 1}")
        sample = concatenate([one.sample for one in days])
        p, is_random = (np.concatenate([getattr(one, name) for one in days]) for name in ("p_click_shown", "is_random"))
        clicked = sample.clicked.astype(np.float64)
        trained_on = np.ones(len(sample), bool) if loop.trains_on_bucket else ~is_random
        model = fit_model(rows_of(sample, trained_on), feed.config)
        found.append(
            Week(
                loop.name,
                week + 1,
                captured_value=feed.captured(model, log, (week + 1) * DAYS, users),
                calibration_shown=float(p[~is_random].sum() / clicked[~is_random].sum()),
                calibration_bucket=float(p[is_random].sum() / clicked[is_random].sum()),
                auc_bucket=auc(clicked[is_random], p[is_random]),
            )
        )
    return found


def rows_of(sample: Sample, chosen: Bools) -> Sample:
    """The chosen rows of a sample, with the users of their slates."""
    rows = np.flatnonzero(chosen)
    slates, slate_of = np.unique(sample.slate_of[rows], return_inverse=True)
    columns = {item.name: getattr(sample, item.name)[rows] for item in fields(Sample)[3:]}
    return Sample(sample.users.take(slates), sample.posts.take(rows), slate_of.astype(np.int64), **columns)


def fit_model(sample: Sample, config: FeedConfig) -> Model:
    """Fit the towers and the heavy ranker as the step `train` does."""
    seed, priors = config.world.seed, priors_of(sample, config.world.topics)
    clicked, width = np.flatnonzero(sample.clicked), config.heavy.heavy_hidden
    posts = sample.posts.take(clicked)
    towers = fit_towers(
        user_tower_inputs(sample.users, priors)[sample.slate_of[clicked]],
        post_tower_inputs(posts, post_inputs(posts, priors)),
        sample.post_id[clicked],
        worth_s(sample, config.objective)[clicked],
        config.towers,
        Plan(config.towers.tower_epochs, config.towers.tower_batch, TOWER_RATE, seed),
        _quiet,
    ).model
    heavy = fit_ranker(
        sample_inputs(sample, towers, priors),
        sample,
        (width, width * 5 // 8, width // 4),
        Plan(config.heavy.heavy_epochs, config.heavy.ranker_batch, RANKER_RATE, seed),
        _quiet,
    ).model
    return Model(
        lambda rows: np.asarray(towers.embed_users(jnp.asarray(rows))),
        lambda rows: np.asarray(towers.embed_posts(jnp.asarray(rows))),
        lambda rows: _heads(heavy, rows),
        priors,
        np.exp(np.asarray(heavy.log_examination())),
    )


@nnx.jit
def _padded_heads(heavy: Ranker, rows: jax.Array) -> jax.Array:
    return heavy.heads(rows)


def _heads(heavy: Ranker, rows: Floats) -> Floats:
    """The heads of n rows, computed for a multiple of `PADDED` rows, so that few shapes are compiled."""
    padded = np.pad(rows, ((0, -len(rows) % PADDED), (0, 0)))
    return np.asarray(_padded_heads(heavy, jnp.asarray(padded)))[: len(rows)]


def _part(report: Progress, number: int, name: str) -> Progress:
    return lambda share, text: report((number + share) / len(LOOPS), f"{name}, {text}")


def _quiet(share: float, text: str) -> None: ...
