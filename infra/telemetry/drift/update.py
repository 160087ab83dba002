"""One run of the drift monitor: reads the new files of a design's live log and adds the windows that are complete.

After the last request, labels go on to arrive. The units that wait for them make a last window of their own once the
youngest of them is mature. A file that cannot be read is left out and named in the state.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from infra.design import Design, resolve
from infra.errors import LabError
from infra.evaluation.drift_config import DriftConfig
from infra.files import disk_errors
from infra.live.live_log import LIVE
from infra.registry.release import Release, read_release
from infra.settings import Settings
from infra.telemetry.drift.advance import advanced, next_number
from infra.telemetry.drift.alarms import FEWEST_GROUPS, LABELLED, labelled_share, wording
from infra.telemetry.drift.log_files import LogFile, first_window, new_files, whole_tables
from infra.telemetry.drift.observed import DriftSource, Labels, Observed, Units
from infra.telemetry.drift.state import State, folder_of, only_updater, read_state, write_state
from infra.telemetry.drift.waiting import Waiting
from infra.telemetry.timeline import record

log = logging.getLogger(__name__)
FEWEST = 50
"""predictions without which no window ends"""
SETTLED_S = 2.0
"""files younger than this wait for the next run: a file of another folder may still be written for the same second"""
AT_ONCE = 20
"""windows per run at most, so that a run ends in time after a long pause"""
KEPT_DAMAGED = 100
"""newest files that cannot be read and are named in the state"""


@dataclass(frozen=True)
class _Run:
    design: Design
    settings: Settings
    config: DriftConfig
    now_ns: int

    @property
    def root(self) -> Path:
        return self.settings.design_root(self.design.name)

    @property
    def settled_ns(self) -> int:
        return self.now_ns - int(SETTLED_S * 1e9)

    def source(self) -> DriftSource:
        found: DriftSource = resolve(self.design.drift)(self.settings)
        return found


def update_drift(
    design: Design, settings: Settings, *, config: DriftConfig | None = None, now_ns: int | None = None
) -> State:
    """Add the complete windows since the last run, and return the new state.

    A simulation states other knobs `config` than those of the design, and another present `now_ns`. Returns the stored
    state if another process updates it now. Raises `UsageError` without a release, and `LabError` if the disk is full.
    """
    run = _Run(design, settings, config or config_of(design, settings), now_ns or time.time_ns())
    root = run.root
    release = read_release(root)
    with disk_errors(root), only_updater(root) as is_mine:
        state = stored = read_state(root)
        if not is_mine:
            return state
        if (state.model_digest, state.model_version) != (release.model_digest, _version(release)):
            state = _after_release(state, release)
            write_state(root, state)
        state = replace(state, damaged=tuple(name for name in state.damaged if (root / LIVE / name).exists()))
        source: DriftSource | None = None
        for _ in range(AT_ONCE):
            pending, files, damaged = _window_files(state, run)
            state = _with_damaged(state, damaged, run)
            if not files:
                break
            source = source or run.source()
            state = _with_window(state, source, files, run)
        else:
            return state
        state = _with_end(state, source, pending, run)
        if (state.damaged, state.due_at) != (stored.damaged, stored.due_at):
            write_state(root, state)
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


def _window_files(state: State, run: _Run) -> tuple[list[LogFile], list[LogFile], list[LogFile]]:
    """(all new files of predictions, those of the next window, those that cannot be read)."""
    source: Any = resolve(run.design.drift)
    pending = new_files(run.root / LIVE / source.predictions, _since(state, source.predictions), run.settled_ns)
    damaged: list[LogFile] = []
    config = run.config
    files = first_window(pending, config.drift_window, config.drift_window_s, FEWEST, run.now_ns, damaged)
    return pending, files, damaged


def _with_window(state: State, source: DriftSource, files: Sequence[LogFile], run: _Run) -> State:
    """The state after the window of these files; written to disk."""
    until_ns, live, damaged = files[-1].written_ns, run.root / LIVE, list[LogFile]()
    parts = _read(source, source.predictions, files, damaged)
    for folder in source.labels:
        parts += _read(source, folder, new_files(live / folder, _since(state, folder), until_ns), damaged)
    state = _with_damaged(state, damaged, run)
    state = replace(state, read_ns=dict.fromkeys((source.predictions, *source.labels), until_ns))
    observed = _joined(parts) if parts else None
    if observed is None or not len(observed.request_ts):  # another release made these predictions
        write_state(run.root, state)
        return state
    waiting = _waiting(state, run, observed.units)
    mature, left, unmatched = waiting.step(observed.units, observed.labels, float(observed.request_ts.max()))
    ended_at = until_ns / 1e9
    found = advanced(state, source, observed, mature, run.config, ended_at=ended_at, unmatched=unmatched)
    return _written(state, found, left, run)


def _with_end(state: State, source: DriftSource | None, pending: Sequence[LogFile], run: _Run) -> State:
    """The state after the last window of traffic that has ended, if it is due, with the time of the next run that has
    something to do although the log does not grow."""
    now_s, due = run.now_ns / 1e9, list[float]()
    if pending:
        due.append(pending[0].written_ns / 1e9 + run.config.drift_window_s + SETTLED_S)
    waiting = _waiting(state, run)
    if len(np.unique(waiting.units.group)) >= FEWEST_GROUPS:
        newest = state.of_release[-1][0]
        last_s = max(newest.ended_at, pending[-1].written_ns / 1e9 if pending else 0.0)
        due.append(last_s + float(waiting.units.mature_ts.max()) - newest.to_ts + SETTLED_S)
        if due[-1] < now_s:
            state = _with_late_window(state, source or run.source(), run)
    return replace(state, due_at=min((at for at in due if at >= now_s), default=0.0))


def _with_late_window(state: State, source: DriftSource, run: _Run) -> State:
    """The state after a window without predictions, of all units that wait; written to disk.

    Reports may have ended with the requests, as those of `lab live` do. Units without their usual labels wait for
    further traffic.
    """
    nothing, live, damaged = source.observe({}), run.root / LIVE, list[LogFile]()
    parts = [nothing]
    for folder in source.labels:
        parts += _read(source, folder, new_files(live / folder, _since(state, folder), run.settled_ns), damaged)
    waiting = _waiting(state, run, nothing.units)
    mature, left, unmatched = waiting.step(nothing.units, _joined(parts).labels, np.inf)
    if not len(mature) or np.isfinite(mature.actual).mean() < LABELLED * labelled_share(state.outcomes):
        return state
    state = _with_damaged(state, damaged, run)
    state = replace(state, read_ns={**state.read_ns, **dict.fromkeys(source.labels, run.settled_ns)})
    ended_at = run.settled_ns / 1e9
    found = advanced(state, source, nothing, mature, run.config, ended_at=ended_at, unmatched=unmatched)
    return _written(state, found, left, run)


def _read(source: DriftSource, folder: str, files: Sequence[LogFile], damaged: list[LogFile]) -> list[Observed]:
    """What `source` observes in these files. Those that cannot be read, or that other code wrote, go to `damaged`."""
    found = []
    for some, table in whole_tables(files, damaged):
        try:
            found.append(source.observe({folder: table}))
        except LabError as exc:
            log.warning("files of the live log are left out: %s", exc)
            damaged += some
    return found


def _with_damaged(state: State, damaged: Sequence[LogFile], run: _Run) -> State:
    names = [file.path.relative_to(run.root / LIVE).as_posix() for file in damaged]
    return replace(state, damaged=tuple(dict.fromkeys((*state.damaged, *names)))[-KEPT_DAMAGED:])


def _waiting(state: State, run: _Run, like: Units | None = None) -> Waiting:
    """The units and labels that wait since the last window of this release."""
    return Waiting.read(_waiting_file(run.root, next_number(state) - 1) if state.of_release else Path(), like)


def _written(before: State, state: State, left: Waiting, run: _Run) -> State:
    """Write the state, and what waits, to disk."""
    window = state.windows[-1][0]
    left.write(_waiting_file(run.root, window.number))
    write_state(run.root, state)
    _waiting_file(run.root, window.number - 1).unlink(missing_ok=True)
    if state.is_drifted != before.is_drifted:
        _note(run.settings, run.design.name, state)
    return state


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
