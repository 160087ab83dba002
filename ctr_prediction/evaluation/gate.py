"""Step `evaluate`: measures the challenger against the oracle and the baselines, and decides whether it becomes
champion.

`judge.py` values the auctions of a serving pipeline.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ctr_prediction.config import CtrConfig
from ctr_prediction.evaluation.holdout import Judged, Truth, holdout_figures, judge, reliability, slices, student_p
from ctr_prediction.evaluation.live.drift import INPUTS
from ctr_prediction.model.artifact import Bundle, load_bundle
from ctr_prediction.model.inputs import ad_numbers, person_numbers
from ctr_prediction.offline.baselines import BASELINES
from ctr_prediction.offline.samples import FRESH, FRESH_LABELS, Sample
from ctr_prediction.world.oracle import Context, Oracle
from ctr_prediction.world.truth import make_world
from infra.build.runner import Facts, StepContext
from infra.evaluation.figures import write_figures
from infra.evaluation.gate import Comparison, judge_challenger
from infra.registry.mlflow_registry import MlflowRegistry
from infra.telemetry.drift.bins import Bins
from infra.training.click_metrics import Array


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
    bins_of(challenger, holdout.sample, holdout.p["student"]).write(context.out)
    (context.out / "reliability.json").write_text(json.dumps(reliabilities(holdout)))

    context.report(0.8, "comparing with the champion")
    models = context.settings.design_root(context.design.name) / "models"
    registry = MlflowRegistry(context.settings)
    verdict = judge_challenger(
        registered,
        comparison_on(holdout.sample),
        holdout.p["student"],
        registry,
        models,
        context.record,
        fresh_rows(context.inputs["sample"], challenger),
    )
    by_id = {figure.id: round(figure.value, 4) for figure in figures}
    return {
        "version": registered["version"],
        "gate": verdict,
        "log_loss_gap_closed": by_id["log_loss_gap_closed"],
        "calibration_ratio": by_id["calibration_ratio"],
    }


def bins_of(challenger: Bundle, sample: Sample, p: Array) -> Bins:
    """Bins of the inputs that the drift monitor compares, and of the student's p(click) relative to its slot's
    examination."""
    priors, model = challenger.debiased.priors, challenger.debiased
    examination = np.asarray(model.examination)[np.minimum(sample.slot, len(model.examination) - 1)]
    columns = np.column_stack([person_numbers(sample.users, priors), ad_numbers(sample.ads, priors), p / examination])
    return Bins.of(dict(zip(INPUTS, columns.T, strict=True)))


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


def fresh_rows(samples: Path, challenger: Bundle) -> tuple[Comparison, Array] | None:
    """The comparison on the randomised traffic of the live log, with the challenger's predictions. None without it.

    A label is a click that was reported within `attribution_s`, and models predict clicks at any time. Both models'
    predictions are therefore multiplied by the share of clicks that the history reported so soon. Without this factor,
    the lower of two predictions would win.
    """
    if not (samples / FRESH).exists():
        return None
    sample = Sample.read(samples / FRESH)
    share = float(json.loads((samples / FRESH_LABELS).read_text())["reported_share"])
    return comparison_on(sample, share), share * student_p(challenger, sample)


def comparison_on(sample: Sample, reported_share: float = 1.0) -> Comparison:
    """The gate's comparison on these impressions, grouped by request. `reported_share` of their clicks are labels."""

    def predict_with(path: Path, digest: str) -> Array:
        return reported_share * student_p(load_bundle(path, digest), sample)

    return Comparison(sample.clicked.astype(np.float64), sample.request_id, predict_with, more_rows="negative_share")
