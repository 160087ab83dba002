"""The figures of `lab evaluate`: those of the step `evaluate`, on 20,000 held-out trips and with more draws."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from eta_prediction.config import EtaConfig
from eta_prediction.domain import Array
from eta_prediction.evaluation.accuracy import absolute_of_law
from eta_prediction.evaluation.oracle_rows import chosen_rows, laws_of
from eta_prediction.evaluation.quality import Judged, judge, quality_figures
from eta_prediction.evaluation.studies.ceiling import learned_medians
from eta_prediction.features.profile import Profile
from eta_prediction.model.artifact import load_bundle
from eta_prediction.offline.samples import HOLDOUT, TRAIN, Sample
from infra.evaluation.figures import Figure
from infra.evaluation.resample import Resample
from infra.progress import Progress

JUDGED, DRAWS = 20_000, 256


def knowable_figures(config: EtaConfig, paths: Mapping[str, Path], report: Progress) -> list[Figure]:
    """`paths` has each step's output."""
    registered = json.loads((paths["train"] / "registered.json").read_text())
    bundle = load_bundle(paths["train"] / "bundle", registered["digest"])
    train, holdout = (Sample.read(paths["sample"] / name) for name in (TRAIN, HOLDOUT))
    some = holdout.take(chosen_rows(holdout, JUDGED, config.world.seed))
    law = laws_of(config.world, some, DRAWS, lambda share, text: report(0.5 * share, text))
    judged = judge(bundle, some, law, train)
    first, *others = quality_figures(judged, bundle.best)
    profile = Profile.read(paths["features"] / "profile.npz")
    known = learned_medians(config.world, profile, some, DRAWS, lambda share, text: report(0.5 + 0.5 * share, text))
    return [first, ceiling(judged, known), *others]


def ceiling(judged: Judged, known: Array) -> Figure:
    """What a forecaster removes that knows the world but for what the build has learned (`studies.ceiling`)."""
    base, best, least = (absolute_of_law(judged.law, found) for found in (judged.base_s, known, judged.oracle[:, 1]))
    return Resample.of(judged.sample.day).ratio(
        "ceiling_removed",
        "the same of a forecaster with the world's equations and the usual traffic and habits that the build learned",
        base - best,
        base - least,
    )
