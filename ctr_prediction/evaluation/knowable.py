"""`knowable_gap_closed`: the student's share of the log loss reduction that the log allows any model.

`log_loss_gap_closed` divides by all of the avoidable log loss. No model can avoid all of it, because two weeks of
clicks do not determine each user's click rate. `knowable_gap_closed` divides by the ceiling instead
(`evaluation/studies/ceiling.py`), on the same impressions of the holdout. The ceiling takes 20 to 27 s of CPU time at
the preset `small`, so builds omit it and `lab evaluate` computes it from the outputs of the last build.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from ctr_prediction.config import CtrConfig
from ctr_prediction.domain import Array
from ctr_prediction.evaluation.holdout import student_p
from ctr_prediction.evaluation.studies.ceiling import history_files, lost_rows, read_history, shown_in
from ctr_prediction.model.artifact import load_bundle
from ctr_prediction.offline.samples import Sample
from ctr_prediction.world.truth import make_world
from infra.evaluation.figures import Figure
from infra.evaluation.resample import Resample
from infra.progress import Progress
from infra.training.click_metrics import excess_log_loss_rows

MOST_IMPRESSIONS = 5_000_000
"""longest history, in impressions: the ceiling holds all rows in memory, about 400 MB per million"""


def knowable_figures(config: CtrConfig, paths: Mapping[str, Path], report: Progress) -> list[Figure]:
    """Compare the student of this build with the ceiling, on the rows of the gate's holdout. `paths` has each step's
    output.

    Returns no figures if the history has more than `MOST_IMPRESSIONS` (the preset `large`); `log_loss_gap_closed` is
    available for every preset.
    """
    files = history_files(paths["world"])
    impressions = sum(pq.read_metadata(file).num_rows for file in files)
    if impressions > MOST_IMPRESSIONS:
        report(1.0, f"skipping the ceiling: a history of {impressions:,} impressions needs too much memory")
        return []
    registered = json.loads((paths["train"] / "registered.json").read_text())
    bundle = load_bundle(paths["train"] / "bundle", registered["digest"])
    sample = Sample.read(paths["sample"] / "holdout.npz")
    p = student_p(bundle, sample)
    report(0.1, f"reading {impressions:,} impressions")
    world = make_world(config.world)
    history, later = read_history(world, files), shown_in(world, sample)
    report(0.3, f"computing the ceiling from {impressions:,} impressions")
    lost = np.sum(list(lost_rows(world, history, later).values()), axis=0)
    report(1.0, f"{len(sample):,} impressions of the holdout")
    return knowable_gap(later.p_click, p, lost, Resample.of(sample.request_id))


def knowable_gap(truth: Array, p: Array, lost: Array, resample: Resample) -> list[Figure]:
    """`truth`, `p` and `lost` float64[n]: true p(click), predicted p(click), and the excess log loss of the ceiling.

    Both figures have 95% intervals from resampling requests. A draw uses the same requests for the numerator and the
    ceiling.
    """
    constant = excess_log_loss_rows(truth, np.full_like(truth, truth.mean()))
    return [
        resample.ratio(
            "knowable_gap_closed",
            "avoidable log loss that the student closes / that this log lets any model close, all traffic of a day",
            constant - excess_log_loss_rows(truth, p),
            constant - lost,
            ">= 0.88",
            ">= 0.95",
        ),
        resample.ratio(
            "knowable_gap",
            "the ceiling: share of the avoidable log loss that this log lets any model close",
            constant - lost,
            constant,
        ),
    ]
