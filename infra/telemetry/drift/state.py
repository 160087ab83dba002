"""What the drift monitor keeps of a design between its runs: reference windows, newest windows and waiting units.

One file, replaced atomically, so a monitor that is killed goes on where the last complete window ended. Two processes
never update the same design: an update holds a lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path
from typing import Any

from infra.files import write_atomically
from infra.telemetry.drift.alarms import Alarm, labelled_share, moved_inputs, wording
from infra.telemetry.drift.status import FOLDER, Status, write_status
from infra.telemetry.drift.windows import Sums, Window, together

FILE, LOCK = "state.json", "lock"
KEPT = 300
"""newest windows that stay, also those of earlier releases"""
KEPT_COUNTS = 20
"""newest windows whose histograms stay"""
KEPT_ERRORS = 6000
VERSION = 1


@dataclass(frozen=True)
class State:
    """`read_ns` maps each folder of the log to the write time of the newest file that was read. `inputs` and `outcomes`
    are the reference windows of the served `model_digest`, and `errors` its stream of block means. `drifted_from` is
    the number of the first window of a drift, -1 without. `damaged` are the files of the log that cannot be read. At
    `due_at` (seconds of the wall clock, 0 for never) a run may end a window although the log does not grow."""

    model_digest: str = ""
    model_version: str = ""
    read_ns: Mapping[str, int] = field(default_factory=dict)
    inputs: tuple[Window, ...] = ()
    outcomes: tuple[Window, ...] = ()
    errors: tuple[float, ...] = ()
    windows: tuple[tuple[Window, tuple[Alarm, ...]], ...] = ()
    drifted_from: int = -1
    reasons: tuple[Alarm, ...] = ()
    damaged: tuple[str, ...] = ()
    due_at: float = 0.0

    @property
    def is_drifted(self) -> bool:
        return self.drifted_from >= 0

    @property
    def of_release(self) -> list[tuple[Window, tuple[Alarm, ...]]]:
        return [one for one in self.windows if one[0].version == self.model_version]

    def with_window(self, window: Window, alarms: tuple[Alarm, ...]) -> State:
        bare = [
            (replace(one, counts={}), found) if place < len(self.windows) + 1 - KEPT_COUNTS else (one, found)
            for place, (one, found) in enumerate(self.windows)
        ]
        return replace(self, windows=(*bare, (window, alarms))[-KEPT:], errors=self.errors[-KEPT_ERRORS:])


def folder_of(design_root: Path) -> Path:
    return design_root / FOLDER


def read_state(design_root: Path) -> State:
    """The stored state; an empty one if there is none, or if other code wrote it."""
    try:
        found = json.loads((folder_of(design_root) / FILE).read_text())
        if found.pop("format") != VERSION:
            return State()
        found["windows"] = tuple((_window(one), tuple(Alarm(**a) for a in alarms)) for one, alarms in found["windows"])
        for name in ("inputs", "outcomes"):
            found[name] = tuple(_window(one) for one in found[name])
        found["damaged"] = tuple(found.get("damaged", ()))
        found["reasons"], found["errors"] = tuple(Alarm(**one) for one in found["reasons"]), tuple(found["errors"])
        return State(**found)
    except (OSError, ValueError, TypeError, KeyError):
        return State()


def write_state(design_root: Path, state: State) -> None:
    """Write the state, then the status that follows from it."""
    folder_of(design_root).mkdir(parents=True, exist_ok=True)
    write_atomically(folder_of(design_root) / FILE, json.dumps({"format": VERSION, **asdict(state)}))
    write_status(design_root, status_of(state))


def status_of(state: State) -> Status:
    """The newest window of the served model against the reference."""
    of_release = [window for window, _ in state.of_release]
    if not of_release:
        return Status(state.model_version, state.model_digest, damaged=state.damaged, due_at=state.due_at)
    newest = of_release[-1]
    _, calibration, loss = together(state.outcomes)

    def pairs(now: Mapping[str, Sums], before: Mapping[str, Sums]) -> dict[str, tuple[float, float]]:
        return {name: (one.ratio, before[name].ratio) for name, one in now.items() if one.below and name in before}

    since = [window.ended_at for window in of_release if window.number == state.drifted_from]
    return Status(
        model_version=state.model_version,
        model_digest=state.model_digest,
        windows=len(of_release),
        reference=len(state.inputs),
        updated_at=newest.ended_at,
        drifted_at=since[0] if since else 0.0,
        reasons=tuple(wording(alarm) for alarm in state.reasons),
        calibration=pairs(newest.calibration, calibration),
        loss=pairs(newest.loss, loss),
        psi=moved_inputs(newest, state.inputs),
        unknown_share=newest.unknown / max(newest.predictions, 1),
        labelled_share=newest.labelled / max(newest.mature, 1),
        labelled_before=labelled_share(state.outcomes) if newest.mature else 0.0,
        feature_age_s=newest.age_s,
        damaged=state.damaged,
        due_at=state.due_at,
    )


@contextmanager
def only_updater(design_root: Path) -> Iterator[bool]:
    """Yields True if this process alone may update the state, and False if another one does so now."""
    folder_of(design_root).mkdir(parents=True, exist_ok=True)
    with (folder_of(design_root) / LOCK).open("w") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            flock(lock, LOCK_UN)


def _window(found: dict[str, Any]) -> Window:
    sums = {name: {key: Sums(**one) for key, one in found[name].items()} for name in ("calibration", "loss")}
    return Window(**{**found, **sums})
