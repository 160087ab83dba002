"""The figures of `lab evaluate`: those of the step `evaluate`, on 20,000 held-out trips and with more draws."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from eta_prediction.config import EtaConfig
from eta_prediction.evaluation.oracle_rows import chosen_rows, laws_of
from eta_prediction.evaluation.quality import judge, quality_figures
from eta_prediction.model.artifact import load_bundle
from eta_prediction.offline.samples import HOLDOUT, TRAIN, Sample
from infra.evaluation.figures import Figure
from infra.progress import Progress

JUDGED, DRAWS = 20_000, 256


def knowable_figures(config: EtaConfig, paths: Mapping[str, Path], report: Progress) -> list[Figure]:
    """`paths` has each step's output."""
    registered = json.loads((paths["train"] / "registered.json").read_text())
    bundle = load_bundle(paths["train"] / "bundle", registered["digest"])
    train, holdout = (Sample.read(paths["sample"] / name) for name in (TRAIN, HOLDOUT))
    some = holdout.take(chosen_rows(holdout, JUDGED, config.world.seed))
    law = laws_of(config.world, some, DRAWS, report)
    return quality_figures(judge(bundle, some, law, train), bundle.best)
