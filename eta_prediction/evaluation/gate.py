"""Step `evaluate`: measures the challenger against the oracle, and decides whether it becomes champion.

The gate compares pinball losses of the trips that happened, with an interval over days. Fresh trips of the live log
come first. They span hours, so their interval is over trips: it holds for the traffic of these hours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from eta_prediction.config import EtaConfig
from eta_prediction.domain import Array
from eta_prediction.evaluation.live.drift import P50, compared
from eta_prediction.evaluation.oracle_rows import chosen_rows, laws_of
from eta_prediction.evaluation.quality import judge, quality_figures
from eta_prediction.model.artifact import Bundle, load_bundle
from eta_prediction.model.quantiles import pinball_rows
from eta_prediction.offline.samples import FRESH, HOLDOUT, TRAIN, Sample
from infra.build.runner import Facts, StepContext
from infra.evaluation.figures import Figure, write_figures
from infra.evaluation.gate import Comparison, judge_challenger
from infra.registry.mlflow_registry import MlflowRegistry
from infra.telemetry.drift.bins import Bins

JUDGED, DRAWS = 2_000, 128
"""trips whose law a build computes, and draws of each law; `lab evaluate` computes 20,000"""


def gate(context: StepContext) -> Facts:
    """Measure the challenger; make it champion unless it is worse than the champion or than the corrected route.

    Raises `GateRefused` (exit code 3) otherwise. Writes `figures.json`.
    """
    config: EtaConfig = context.config
    registered = json.loads((context.inputs["train"] / "registered.json").read_text())
    challenger = load_bundle(context.inputs["train"] / "bundle", registered["digest"])
    train, holdout = (Sample.read(context.inputs["sample"] / name) for name in (TRAIN, HOLDOUT))
    some = holdout.take(chosen_rows(holdout, JUDGED, config.world.seed))
    law = laws_of(config.world, some, DRAWS, lambda share, text: context.report(0.8 * share, text))
    figures = of_build(quality_figures(judge(challenger, some, law, train), challenger.best))
    write_figures(context.out, figures)
    context.report(0.85, "comparing with the champion")
    models = context.settings.design_root(context.design.name) / "models"
    comparison = comparison_on(holdout, challenger.historical("live", holdout.x))
    predicted = challenger.quantiles(f"{challenger.best}_live", holdout.x)
    Bins.of(compared(holdout.x, predicted[:, P50])).write(context.out)
    fresh = fresh_rows(context.inputs["sample"] / FRESH, challenger)
    registry = MlflowRegistry(context.settings)
    verdict = judge_challenger(registered, comparison, predicted, registry, models, context.record, fresh)
    by_id = {figure.id: round(figure.value, 4) for figure in figures}
    return {
        "version": registered["version"],
        "gate": verdict,
        "reducible_error_removed": by_id["build_reducible_error_removed"],
        "coverage": by_id["build_coverage"],
    }


def of_build(figures: Sequence[Figure]) -> list[Figure]:
    """The figures of a build, under names of their own: `lab evaluate` measures more trips, and judges them."""
    shown = ("reducible_error_removed", "mae_min", "pinball_over_oracle", "coverage")
    text = f"{JUDGED:,} trips, as each build measures: "
    return [
        replace(figure, id=f"build_{figure.id}", description=text + figure.description, must=None, aim=None)
        for figure in figures
        if figure.id in shown
    ]


def fresh_rows(file: Path, challenger: Bundle) -> tuple[Comparison, Array] | None:
    """The comparison on the live trips that no model has learned from (`samples.fresh_trips`), with the challenger's
    quantiles. None without such trips."""
    if not file.exists():
        return None
    sample = Sample.read(file)
    comparison = comparison_on(sample, challenger.historical("live", sample.x))
    rows = replace(comparison, groups=np.arange(len(sample)), where="fresh trips of the live log")
    return rows, challenger.quantiles(f"{challenger.best}_live", sample.x)


def comparison_on(sample: Sample, baseline: Array) -> Comparison:
    """The gate's comparison on these trips, grouped by day. `baseline` are quantiles of the corrected route."""

    def predict_with(path: Path, digest: str) -> Array:
        bundle = load_bundle(path, digest)
        return bundle.quantiles(f"{bundle.best}_live", sample.x)

    return Comparison(
        sample.seconds,
        sample.day,
        predict_with,
        more_rows="days",
        loss=pinball_rows,
        measure="pinball loss in seconds",
        baseline=baseline,
        baseline_name="the corrected route with the interval of past trips",
    )
