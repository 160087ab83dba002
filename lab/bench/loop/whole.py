"""One whole loop, untouched: simulated users, a shift of their tastes, a drift, a retraining, a rollout, a champion."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
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
from infra.telemetry.drift.status import read_status
from infra.telemetry.timeline import Entry, read
from lab.bench.environment import environment
from lab.bench.loop.swaps import Probe
from lab.bench.up import OwnLab
from lab.output.console import err

T = TypeVar("T")
RATE = "6"
WINDOWS_BEFORE, AFTER_S, PATIENCE_S = 4, 150.0, 1200.0


def measure_whole(design: Design, lab: OwnLab, rounds: int) -> dict[str, list[float]]:
    """Raises `LabError` if a step of the loop does not happen in time."""
    root, variables = lab.settings.design_root(design.name), environment(lab.settings.home)
    variables |= {"LAB_PRESET": lab.settings.preset, "LAB_PORT": lab.url.rpartition(":")[2]}

    def run(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "lab", *words]
        return subprocess.Popen(command, cwd=REPOSITORY, env=variables, stdout=subprocess.DEVNULL)

    def entry(kind: str, after_s: float) -> Entry | None:
        rows = [one for one in read(lab.settings, design.name) if one.kind == kind and _s(one) > after_s]
        return rows[0] if rows else None

    live = run("live", design.name, "--rate", RATE)
    try:
        with Probe(lab.url, design.ask.path) as probe:
            _await(lambda: read_status(root).windows >= WINDOWS_BEFORE, "the windows before the shift")
            windows, first = read_status(root).windows, read_release(root).model_version
            run("world", "shift", design.name).wait(60)
            shifted = time.time()
            err.print("the world has shifted")
            drift = _await(lambda: entry("drift", shifted), "the drift")
            err.print(f"drift after {_s(drift) - shifted:.0f} s")
            retraining = _await(lambda: entry("retraining", shifted), "the retraining")
            passed = _await(lambda: entry("gate", _s(retraining)), "the verdict of the gate")
            offset = time.time() - time.monotonic()
            training = probe.p99_ms(_s(retraining) - offset, _s(passed) - offset)
            usual = probe.p99_ms(shifted - 120 - offset, _s(retraining) - offset)
            err.print(f"gate: {passed.text}")
            champion = _await(lambda: entry("promotion", _s(passed)) or entry("rollback", _s(passed)), "the champion")
            if champion.kind == "rollback":
                raise LabError(f"the loop ended without a new champion: {champion.text}")
            _await(lambda: read_release(root).model_version > first, "the release")
            err.print(f"{champion.text} ({_s(champion) - shifted:.0f} s after the shift)")
            time.sleep(AFTER_S)
    finally:
        live.send_signal(signal.SIGINT)
        live.wait(60)
        run("world", "shift", design.name, "--clear").wait(60)
    before, during, after = (
        _value(design, root / LIVE, *span)
        for span in ((0.0, shifted), (shifted, _s(champion)), (_s(champion), time.time()))
    )
    return {
        "drift_noticed_windows": [float(drift.facts["window"] - windows + 1)],
        "drift_to_champion_s": [_s(champion) - shifted],
        "rollout_s": [_s(champion) - _s(passed)],
        "value_recovered": [after / before],
        "value_without": [during / before],
        "retrain_p99_ratio": [training / usual],
    }


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
