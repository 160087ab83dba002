"""Decides whether a design's models are due for a retraining: by drift, by an alert, by age, and by new rows.

The age is in world time: the time of the newest event of the live log minus the time up to which the current release
has data. World time stands still while no process of the world runs, and models do not age then. A release ages only
by events that it has not read, so a build that reads the same log again is never due: it would give the same models.

A drift of the served model (`infra.telemetry.drift`) makes a retraining due as soon as there are `DRIFT_ROWS` new rows.
It ends with the next release, since each release has a reference of its own. So does the request of an alert
(`infra.live.retraining_request`); an alert about the age of the model needs one new row.

New rows are counted from the cut of the last build, not from the release. After a build whose model the gate refused,
the next one is therefore due only when the log has grown again. A build that was stopped before it had trained is due
at once, and so is one whose code or configuration changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow.dataset as ds

from infra.build.fingerprints import read_cuts, step_paths
from infra.design import Design, resolve
from infra.errors import UsageError
from infra.live.kept_log import end_of_log, log_errors
from infra.live.live_log import LiveLog, cut_of, files_of_cut, live_root
from infra.live.retraining_request import read_request
from infra.registry.release import read_release
from infra.registry.rollout import read_rollout
from infra.settings import Settings
from infra.telemetry.drift.status import read_status

MAX_AGE_S: Final = 86_400.0
"""age at which a retraining is due, in seconds of world time, if there is at least one new labelled row"""
NEW_ROWS: Final = 20_000
"""number of new labelled rows at which a retraining is due"""
DRIFT_ROWS: Final = 1_000
"""number of new labelled rows at which a retraining is due if the served model has drifted"""


@dataclass(frozen=True)
class Retraining:
    """`reason` says why a retraining is due, or why not. `age_s` is in world time."""

    due: bool
    reason: str
    age_s: float
    new_rows: int


def check_retraining(
    design: Design, settings: Settings, *, max_age_s: float = MAX_AGE_S, enough_rows: int = NEW_ROWS
) -> Retraining:
    """Whether a retraining is due; it is not without a release, nor during a rollout. Raises `LabError` if a file of
    the live log is damaged."""
    try:
        release = read_release(settings.design_root(design.name))
    except UsageError as exc:
        return Retraining(False, str(exc), 0.0, 0)
    rollout = read_rollout(settings.design_root(design.name))
    if rollout.is_active:
        return Retraining(False, f"the rollout of model version {rollout.version} has not ended", 0.0, 0)
    log: LiveLog = resolve(design.live_log)
    with log_errors():
        age_s = max(end_of_log(log, live_root(log, settings)) - release.world_now, 0.0)
        rows = _count_new_rows(design, log, settings)
    drift = read_status(settings.design_root(design.name))
    if drift.is_drifted and drift.model_digest == release.model_digest and rows >= DRIFT_ROWS:
        return Retraining(True, f"the model has drifted: {'; '.join(drift.reasons)}", age_s, rows)
    asked = read_request(settings.design_root(design.name), release.model_digest)
    if asked and rows >= (DRIFT_ROWS if asked.is_drift else 1):
        return Retraining(True, f"alert {', '.join(asked.alerts)}", age_s, rows)
    if not _has_trained(design, settings):
        reason = "no models exist for the last cut of the log with the current code and configuration"
        return Retraining(True, reason, age_s, rows)
    if rows >= enough_rows:
        return Retraining(True, f"{rows:,} new labelled rows; due from {enough_rows:,}", age_s, rows)
    age = f"the release lacks the last {age_s / 3600:.1f} h of the log"
    if age_s >= max_age_s and rows:
        return Retraining(True, f"{age}; due from {max_age_s / 3600:g} h", age_s, rows)
    return Retraining(False, f"{rows:,} new labelled rows of {enough_rows:,}, and {age}", age_s, rows)


def _count_new_rows(design: Design, log: LiveLog, settings: Settings) -> int:
    """The number of labelled rows in files that the cut of the last build does not name."""
    (step,) = (step for step in design.steps if step.cut)
    known = set(files_of_cut(read_cuts(design, settings).get(step.name, "")))
    folder, label = log.labels
    files = [
        str(live_root(log, settings) / name)
        for name in files_of_cut(cut_of(log, settings))
        if name not in known and name.startswith(f"{folder}/")
    ]
    if not files:
        return 0
    count: int = ds.dataset(files, format="parquet").count_rows(filter=ds.field(label).is_valid())
    return count


def _has_trained(design: Design, settings: Settings) -> bool:
    """True if the training step has its output for the stored cuts, the current code and the configuration."""
    paths = step_paths(design, settings)
    return all(paths[step.name].exists() for step in design.steps if step.trains)
