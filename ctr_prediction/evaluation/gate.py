"""Step `evaluate`: measures the challenger against the oracle and the baselines, and decides whether it becomes
champion.

`judge.py` values the auctions of a serving pipeline.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ctr_prediction.config import CtrConfig
from ctr_prediction.evaluation.holdout import Judged, Truth, holdout_figures, judge, reliability, slices
from ctr_prediction.model.artifact import load_bundle
from ctr_prediction.offline.baselines import BASELINES
from ctr_prediction.offline.samples import Sample
from ctr_prediction.offline.train import inputs_of
from ctr_prediction.world.oracle import Context, Oracle
from ctr_prediction.world.truth import make_world
from infra.build.runner import Facts, StepContext
from infra.errors import BudgetBroken, CorruptArtifact
from infra.evaluation.figures import write_figures
from infra.evaluation.resample import Resample
from infra.registry.mlflow_registry import MlflowRegistry
from infra.registry.port import ModelVersion
from infra.training.click_metrics import log_loss_rows


class GateRefused(BudgetBroken):
    """The challenger is not good enough to serve. The champion stays."""


def gate(context: StepContext) -> Facts:
    """Measure the challenger; make it champion unless it is worse than the champion or than a constant click rate.

    Raises `GateRefused` (exit code 3) otherwise. Writes `figures.json`, and `reliability.json` for plots.
    """
    config: CtrConfig = context.config
    registered = json.loads((context.inputs["train"] / "registered.json").read_text())
    challenger = load_bundle(context.inputs["train"] / "bundle", registered["digest"])
    oracle = Oracle(make_world(config.world))
    judged = {}
    with np.load(context.inputs["baselines"] / "baselines.npz", allow_pickle=False) as stored:
        for name in ("holdout", "bucket"):
            sample = Sample.read(context.inputs["sample"] / f"{name}.npz")
            others = {key: stored[f"{name}.{key}"].astype(np.float64) for key in BASELINES}
            judged[name] = judge(challenger, sample, truth_of(oracle, sample), others)
    holdout, bucket = judged["holdout"], judged["bucket"]
    context.report(0.4, f"{len(holdout.sample):,} impressions of the last day, {len(bucket.sample):,} randomised")
    figures = holdout_figures(holdout, bucket)
    write_figures(context.out, figures)
    (context.out / "reliability.json").write_text(json.dumps(reliabilities(holdout)))

    context.report(0.8, "comparing with the champion")
    registry = MlflowRegistry(context.settings)
    name, version = registered["name"], registered["version"]
    registry.set_alias(name, "challenger", version)
    champion = registry.by_alias(name, "champion")
    models = context.settings.design_root(context.design.name) / "models"
    verdict = check_gate(holdout, champion, registry, models)
    registry.set_alias(name, "champion", version)
    by_id = {figure.id: round(figure.value, 4) for figure in figures}
    return {
        "version": version,
        "gate": verdict,
        "log_loss_gap_closed": by_id["log_loss_gap_closed"],
        "calibration_ratio": by_id["calibration_ratio"],
    }


def truth_in(config: CtrConfig, sample: Sample) -> Truth:
    """The true values of a sample's impressions in the world of `config`."""
    return truth_of(Oracle(make_world(config.world)), sample)


def truth_of(oracle: Oracle, sample: Sample) -> Truth:
    context = Context(sample.context.publisher, sample.context.device, sample.context.at_ts, sample.seen)
    shown = (sample.user_id, sample.ad_id, context)
    return Truth(oracle.p_click(*shown, sample.slot), oracle.relevance(*shown))


def reliabilities(holdout: Judged) -> dict[str, list[tuple[float, float, int]]]:
    """Reliability curves of the student, overall and by slice, and of the naive model."""
    truth, p = holdout.truth.p_click, holdout.p["student"]
    found = {"all": reliability(p, truth), "naive": reliability(holdout.p["naive"], truth)}
    return found | {name: reliability(p[rows], truth[rows]) for name, rows in slices(holdout.sample).items()}


def check_gate(holdout: Judged, champion: ModelVersion | None, registry: MlflowRegistry, models: Path) -> str:
    """Raise `GateRefused` if the challenger is significantly worse; otherwise return the reason why it passes."""
    sample = holdout.sample
    clicked = sample.clicked.astype(np.float64)
    loss = log_loss_rows(clicked, holdout.p["student"])
    constant = log_loss_rows(clicked, np.full_like(clicked, clicked.mean()))
    resample, ones = Resample.of(sample.request_id), np.ones_like(loss)
    low, high = resample.spread(loss - constant, ones)
    if high >= 0:
        raise GateRefused(
            f"the model is not better than a constant click rate: log loss differs by {low:+.5f} to {high:+.5f}",
            hint="look at the training loss; more data (the knob negative_share) or epochs may help",
        )
    if champion is None:
        return "first model, better than a constant click rate"
    try:
        old = load_bundle(registry.fetch(champion, models), champion.digest)
        p = old.p_click("student", inputs_of(old.debiased, sample), sample.slot).astype(np.float64)
        before = log_loss_rows(clicked, p)
    except (CorruptArtifact, ValueError, IndexError, KeyError) as exc:
        return f"the champion cannot be compared ({type(exc).__name__}); better than a constant click rate"
    low, high = resample.spread(loss - before, ones)
    if low > 0:
        raise GateRefused(
            f"worse than champion {champion.version}: log loss differs by {low:+.5f} to {high:+.5f}",
            hint="the champion stays; look at what changed in the data or the configuration",
        )
    return f"not worse than champion {champion.version} ({low:+.5f} to {high:+.5f})"
