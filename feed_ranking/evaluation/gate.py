"""Step `evaluate`: measures the challenger on the log and against the oracle, and decides whether it becomes champion.

Clicks under the logging policy are biased towards its choices. The evaluation therefore uses the randomised bucket, in
which every post of the pool had the same probability. The oracle measures regret, which no log shows.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from feed_ranking.config import FeedConfig
from feed_ranking.evaluation.holdout import (
    Prediction,
    Truth,
    holdout_figures,
    holdout_inputs,
    predict,
)
from feed_ranking.evaluation.live.drift import compared
from feed_ranking.model.artifact import Bundle, load_bundle
from feed_ranking.model.inputs import ranker_names
from feed_ranking.offline.samples import FRESH, Sample
from feed_ranking.world.oracle import Oracle
from feed_ranking.world.truth import make_world
from infra.build.runner import Facts, StepContext
from infra.evaluation.figures import write_figures
from infra.evaluation.gate import Comparison, judge_challenger
from infra.registry.mlflow_registry import MlflowRegistry
from infra.telemetry.drift.bins import Bins
from infra.training.click_metrics import Array


def gate(context: StepContext) -> Facts:
    """Measure the challenger; make it champion unless it is worse than the champion or than a constant click rate.

    Raises `GateRefused` (exit code 3) otherwise. Writes `figures.json`.
    """
    config: FeedConfig = context.config
    registered = json.loads((context.inputs["train"] / "registered.json").read_text())
    challenger = load_bundle(context.inputs["train"] / "bundle", registered["digest"])
    sample = Sample.read(context.inputs["sample"] / "holdout.npz")
    context.report(0.1, f"{len(sample):,} impressions of the randomised bucket")
    heavy, light = (predict(challenger, sample, ranker) for ranker in ("heavy", "light"))
    context.report(0.3, "computing the oracle's values")
    figures = holdout_figures(sample, truth_of(config, sample), heavy, light, config.objective)
    write_figures(context.out, figures)
    bins_of(challenger, sample, heavy).write(context.out)

    context.report(0.8, "comparing with the champion")
    models = context.settings.design_root(context.design.name) / "models"
    registry = MlflowRegistry(context.settings)
    fresh = fresh_rows(context.inputs["sample"] / FRESH, challenger)
    verdict = judge_challenger(
        registered, comparison_on(sample), heavy.p_click_shown, registry, models, context.record, fresh
    )
    by_id = {figure.id: round(figure.value, 4) for figure in figures}
    return {
        "version": registered["version"],
        "gate": verdict,
        "auc": by_id["auc"],
        "excess_log_loss": by_id["excess_log_loss"],
    }


def fresh_rows(file: Path, challenger: Bundle) -> tuple[Comparison, Array] | None:
    """The comparison on the randomised bucket of the live log, with the challenger's predictions."""
    if not file.exists():
        return None
    sample = Sample.read(file)
    return comparison_on(sample), predict(challenger, sample, "heavy").p_click_shown


def bins_of(challenger: Bundle, sample: Sample, heavy: Prediction) -> Bins:
    """Bins of the ranker's inputs and of its click probability, for the drift monitor."""
    names, inputs = ranker_names(challenger.priors.topics), holdout_inputs(challenger, sample)
    return Bins.of(compared(names, inputs, heavy.heads[:, 0]))


def truth_of(config: FeedConfig, sample: Sample) -> Truth:
    oracle = Oracle(make_world(config.world), config.objective)
    shown = (sample.user_id, sample.post_id, sample.request_ts)
    reaction = oracle.reaction(*shown, sample.creator_before)
    return Truth(
        p_click_shown=oracle.p_click_shown(*shown, sample.position, sample.creator_before),
        p_like=reaction.p_like,
        p_comment=reaction.p_comment,
        dwell_s=reaction.dwell_s,
        worth_s=reaction.value_s(config.objective),
    )


def comparison_on(sample: Sample) -> Comparison:
    """The gate's comparison on these impressions, grouped by slate."""

    def predict_with(path: Path, digest: str) -> Array:
        return predict(load_bundle(path, digest), sample, "heavy").p_click_shown

    return Comparison(sample.clicked.astype(np.float64), sample.slate_id, predict_with, more_rows="rows")
