"""Lets the drift monitor of a real design read a live log as one window, without waiting for a window to end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infra.design import resolve
from infra.live.live_log import LIVE
from infra.settings import Settings
from infra.telemetry.drift.log_files import new_files, tables_of
from infra.telemetry.drift.observed import DriftSource, Labels, Units
from infra.telemetry.drift.waiting import Waiting
from infra.telemetry.drift.windows import ALL, window_of
from lab.designs import find_design

FOREVER_NS = 2**62


@dataclass(frozen=True)
class ObservedDrift:
    """`matched_share`: labels whose prediction is known. `judged` counts the units with an outcome, and `calibration`
    is theirs."""

    matched_share: float
    judged: int
    calibration: float


def observed_drift(home: Path, name: str, *, after_s: float) -> ObservedDrift:
    """Read all predictions of the served model and their labels, and judge them `after_s` seconds after the last one.

    Every input that has bins must be observed, and every unit must have its own number.
    """
    settings = Settings(home=home, preset="smoke")
    source: DriftSource = resolve(find_design(name).drift)(settings)
    live = settings.design_root(name) / LIVE
    parts = [
        source.observe({folder: table})
        for folder in (source.predictions, *source.labels)
        for table in tables_of(new_files(live / folder, 0, FOREVER_NS))
    ]
    predictions = [part for part in parts if len(part.request_ts)]
    assert predictions
    assert all(set(part.inputs) == set(source.bins.edges) for part in predictions)
    units = Units.joined([part.units for part in parts])
    assert len(np.unique(units.id)) == len(units)
    labels = Labels(*(np.concatenate([getattr(part.labels, item) for part in parts]) for item in ("id", "actual")))
    known = np.isin(labels.id, units.id)
    last_ts = max(float(part.request_ts.max()) for part in predictions)
    nothing = Waiting(units.take(np.zeros(0, np.int64)), Labels(np.zeros(0, np.int64), np.zeros(0)))
    mature, _, _ = nothing.step(units, labels, last_ts + after_s)
    window = window_of(source, predictions[0], mature, 0, 0.0, 0)
    return ObservedDrift(float(known.mean()), len(source.judged(mature)), window.calibration[ALL].ratio)
