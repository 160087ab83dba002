"""One run of the drift monitor: reads the new files of a design's live log and adds the windows that are complete."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from infra.design import Design, resolve
from infra.evaluation.drift_config import DriftConfig
from infra.files import disk_errors
from infra.live.live_log import LIVE
from infra.registry.release import Release, read_release
from infra.settings import Settings
from infra.telemetry.drift.alarms import FEWEST_GROUPS, alarms_of, drifted_since, wording
from infra.telemetry.drift.log_files import LogFile, first_window, new_files, tables_of
from infra.telemetry.drift.observed import DriftSource, Labels, Observed, Units
from infra.telemetry.drift.state import State, folder_of, only_updater, read_state, write_state
from infra.telemetry.drift.waiting import Waiting
from infra.telemetry.drift.windows import ALL, window_of
from infra.telemetry.timeline import record

FEWEST = 50
"""predictions without which no window ends"""
SETTLED_S = 2.0
"""files younger than this wait for the next run: a file of another folder may still be written for the same second"""
AT_ONCE = 20
"""windows per run at most, so that a run ends in time after a long pause"""


def update_drift(design: Design, settings: Settings) -> State:
    """Add the complete windows since the last run, and return the new state.

    Returns the stored state if another process updates it now. Raises `UsageError` without a release, and `LabError` if
    the log is damaged or the disk is full.
    """
    root = settings.design_root(design.name)
    release = read_release(root)
    with disk_errors(root), only_updater(root) as is_mine:
        state = read_state(root)
        if not is_mine:
            return state
        if (state.model_digest, state.model_version) != (release.model_digest, _version(release)):
            state = _after_release(state, release)
            write_state(root, state)
        source: DriftSource | None = None
        for _ in range(AT_ONCE):
            files = _window_files(state, design, settings)
            if not files:
                break
            source = source or resolve(design.drift)(settings)
            state = _with_window(state, source, files, design, settings)
        return state


def config_of(design: Design, settings: Settings) -> DriftConfig:
    """The knobs of the monitor for this design and preset."""
    config: DriftConfig = design.configuration(settings.preset).drift
    return config


def _after_release(state: State, release: Release) -> State:
    """A state without a reference. Files from before the release are not read again."""
    since = {name: max(at, int(release.released_ts * 1e9)) for name, at in state.read_ns.items()}
    return State(
        model_digest=release.model_digest,
        model_version=_version(release),
        read_ns=since or {"": int(release.released_ts * 1e9)},
        windows=state.windows,
    )


def _version(release: Release) -> str:
    return f"{release.model_name}/{release.model_version}"


def _since(state: State, folder: str) -> int:
    return state.read_ns.get(folder, min(state.read_ns.values(), default=0))


def _window_files(state: State, design: Design, settings: Settings) -> list[LogFile]:
    source: Any = resolve(design.drift)
    config, now_ns = config_of(design, settings), time.time_ns()
    folder = settings.design_root(design.name) / LIVE / source.predictions
    settled = new_files(folder, _since(state, source.predictions), now_ns - int(SETTLED_S * 1e9))
    return first_window(settled, config.drift_window, config.drift_window_s, FEWEST, now_ns)


def _with_window(
    state: State, source: DriftSource, files: Sequence[LogFile], design: Design, settings: Settings
) -> State:
    """The state after the window of these files; written to disk."""
    config, root = config_of(design, settings), settings.design_root(design.name)
    until_ns, live = files[-1].written_ns, root / LIVE
    parts = [source.observe({source.predictions: table}) for table in tables_of(files)]
    for folder in source.labels:
        for table in tables_of(new_files(live / folder, _since(state, folder), until_ns)):
            parts.append(source.observe({folder: table}))
    observed = _joined(parts)
    state = replace(state, read_ns=dict.fromkeys((source.predictions, *source.labels), until_ns))
    if not len(observed.request_ts):  # another release made these predictions
        write_state(root, state)
        return state
    last = state.windows[-1][0].number if state.windows else -1
    width = observed.units.predicted.shape[1]
    waiting = Waiting.read(_waiting_file(root, last), width) if state.of_release else Waiting.read(Path(), width)
    mature, left, unmatched = waiting.step(observed.units, observed.labels, float(observed.request_ts.max()))
    window = window_of(source, observed, mature, last + 1, until_ns / 1e9, unmatched)
    inputs, outcomes = state.inputs, state.outcomes
    if len(inputs) < config.drift_reference:
        inputs = (*inputs, window)
    if len(outcomes) < config.drift_reference and window.loss[ALL].groups >= FEWEST_GROUPS:
        outcomes = (*outcomes, replace(window, counts={}))
    errors = (*state.errors, *window.errors)
    is_reference = window.number in {one.number for one in (*inputs, *outcomes)}
    alarms = () if is_reference else tuple(alarms_of(window, inputs, outcomes, errors, config))
    state = replace(state, inputs=inputs, outcomes=outcomes, errors=errors).with_window(window, alarms)
    since = drifted_since(state.of_release, config.drift_confirm)
    was_drifted = state.is_drifted
    found = replace(state, drifted_from=since[0] if since else -1, reasons=tuple(since[1]) if since else ())
    left.write(_waiting_file(root, window.number))
    write_state(root, found)
    _waiting_file(root, last).unlink(missing_ok=True)
    if found.is_drifted != was_drifted:
        _note(settings, design.name, found)
    return found


def _note(settings: Settings, design: str, state: State) -> None:
    """Record in the timeline that a drift began or ended."""
    window = state.windows[-1][0]
    reasons = [wording(alarm) for alarm in state.reasons]
    text = f"drift: {'; '.join(reasons)}" if reasons else "no drift any more"
    record(settings, design, "drift", text, world_ts=window.to_ts, window=window.number, reasons=reasons)


def _waiting_file(root: Path, number: int) -> Path:
    return folder_of(root) / f"waiting-{number}.npz"


def _joined(parts: Sequence[Observed]) -> Observed:
    """One value of several; inputs are concatenated by name."""
    names = dict.fromkeys(name for part in parts for name in part.inputs)
    units = Units.joined([part.units for part in parts])
    labels = Labels(*(np.concatenate([getattr(part.labels, item.name) for part in parts]) for item in fields(Labels)))
    return Observed(
        request_ts=np.concatenate([part.request_ts for part in parts]),
        age_s=np.concatenate([part.age_s for part in parts]),
        is_unknown=np.concatenate([part.is_unknown for part in parts]),
        inputs={name: np.concatenate([part.inputs[name] for part in parts if name in part.inputs]) for name in names},
        units=units,
        labels=labels,
    )
