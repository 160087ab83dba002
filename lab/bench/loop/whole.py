"""One whole loop, untouched: simulated users, a shift of their world, a drift, a retraining, a rollout, a champion."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow.dataset as ds

from infra.design import Design, resolve
from infra.errors import LabError
from infra.live.live_log import LIVE
from infra.registry.release import read_release
from infra.settings import REPOSITORY
from infra.telemetry.canary.source import CanarySource
from infra.telemetry.drift.status import Status, read_status
from infra.telemetry.timeline import Entry, read
from lab.bench.environment import environment
from lab.bench.loop.swaps import Probe
from lab.bench.up import OwnLab
from lab.output.console import err

T = TypeVar("T")
USUAL_S, AFTER_S, PATIENCE_S = 120.0, 150.0, 3600.0


@dataclass(frozen=True)
class World:
    """The simulated users of a design: `rate` requests per second, and `size`, the options of `lab world shift`.

    `shift` and `value` describe the shift and the online metric; ids of figures begin with `short`. With `probes`,
    requests beside those of the users measure the latency.
    """

    rate: str
    shift: str
    value: str
    short: str = ""
    size: tuple[str, ...] = ()
    probes: bool = False


def measure_whole(design: Design, lab: OwnLab, world: World) -> dict[str, float]:
    """The figures of a loop. Those of the retraining and of the rollout are missing if it ended without a new champion;
    the reason is printed. Raises `LabError` if a step of the loop does not happen in time."""
    root = lab.settings.design_root(design.name)
    variables = environment(lab.settings.home) | {"LAB_PRESET": lab.settings.preset}

    def run(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "lab", *words]
        return subprocess.Popen(command, cwd=REPOSITORY, env=variables, stdout=subprocess.DEVNULL)

    def entry(kind: str, after_s: float) -> Entry | None:
        rows = [one for one in read(lab.settings, design.name) if one.kind == kind and _s(one) > after_s]
        return rows[0] if rows else None

    live = run("live", design.name, "--rate", world.rate, "--url", lab.url)
    probe = Probe(lab.url, design.ask.path)
    try:
        with probe if world.probes else nullcontext():
            _await(lambda: _is_watched(read_status(root)), "the windows before the shift")
            windows, first = read_status(root).windows, read_release(root).model_version
            run("world", "shift", design.name, *world.size).wait(60)
            shifted = time.time()
            err.print("the world has shifted")
            drift = _await(lambda: entry("drift", shifted), "the drift")
            err.print(f"drift after {_s(drift) - shifted:.0f} s")
            found = {"drift_noticed_windows": float(drift.facts["window"] - windows + 1)}
            retraining = _await(lambda: entry("retraining", shifted), "the retraining")
            verdict = _await(lambda: entry("gate", _s(retraining)), "the verdict of the gate")
            err.print(f"gate: {verdict.text}")
            if world.probes:
                found["retrain_p99_ratio"] = _ratio(probe, shifted, _s(retraining), _s(verdict))
            if "is refused" in verdict.text:
                return found
            end = _await(lambda: entry("promotion", _s(verdict)) or entry("rollback", _s(verdict)), "the champion")
            err.print(f"{end.text} ({_s(end) - shifted:.0f} s after the shift)")
            if end.kind == "rollback":
                return found
            _await(lambda: read_release(root).model_version > first, "the release")
            time.sleep(AFTER_S)
    finally:
        live.terminate()  # a program in the background of a shell may ignore SIGINT
        live.wait(60)
        run("world", "shift", design.name, "--clear").wait(60)
    before, during, after = (
        _value(design, root / LIVE, *span) for span in ((0.0, shifted), (shifted, _s(verdict)), (_s(end), time.time()))
    )
    return found | {
        "drift_to_champion_s": _s(end) - shifted,
        "rollout_s": _s(end) - _s(verdict),
        "value_recovered": _relative(after, before),
        "value_without": _relative(during, before),
    }


def _ratio(probe: Probe, shifted: float, began: float, ended: float) -> float:
    """The p99 during a retraining over that of the time before it. The arguments are times of the wall clock."""
    offset = time.time() - time.monotonic()
    usual = probe.p99_ms(shifted - USUAL_S - offset, began - offset)
    return probe.p99_ms(began - offset, ended - offset) / usual


def _relative(value: float, before: float) -> float:
    """The value relative to that before the shift. A negative value is an error, where less is better."""
    return value / before if before > 0 else before / value


def _is_watched(status: Status) -> bool:
    """True once a window has been compared with a reference that has labels. The label of a ride comes with its end."""
    return status.windows > status.reference and "all" in status.calibration


def _s(entry: Entry) -> float:
    return datetime.fromisoformat(entry.at).timestamp()


def _value(design: Design, live: Path, from_s: float, to_s: float) -> float:
    """The mean online metric of a session, from the files of the log that were written in this time."""
    source: CanarySource = resolve(design.canary)
    total, sessions = 0.0, 0
    for folder in source.labels:
        files = [
            str(path)
            for path in sorted(live.glob(f"{folder}/date=*/hour=*/part-*.parquet"))
            if from_s <= int(path.stem.rpartition("-")[2]) / 1e9 < to_s
        ]
        if files:
            found = source.outcomes({folder: ds.dataset(files).to_table()})
            total, sessions = total + float(found.value.sum()), sessions + len(np.unique(found.session))
    return total / max(sessions, 1)


def _await(condition: Callable[[], T | None], what: str) -> T:
    until = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > until:
            raise LabError(f"timed out: {what}")
        time.sleep(1.0)
    return found
