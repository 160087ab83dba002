"""One look at a canary: reads new files of the live log, and returns what has been measured since its step began."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from infra.design import Design, resolve
from infra.evaluation.sequential import Arm, always_valid_interval
from infra.files import write_atomically
from infra.live.live_log import LIVE
from infra.registry.release import Release, read_release
from infra.registry.rollout import Rollout
from infra.serving.release_tally import FOLDER
from infra.settings import Settings
from infra.telemetry.canary.calibration import Calibration
from infra.telemetry.canary.sessions import NEW, OLD, Sessions, with_new_files
from infra.telemetry.canary.source import CanarySource
from infra.telemetry.drift.observed import DriftSource

MEASURED = "measured.json"
EFFECT = 0.2
"""Relative difference of the online metric for which the interval is narrowest. A step ends after some hundred
sessions, in which no smaller difference is sure."""

_SOURCES: dict[tuple[str, str, int], DriftSource] = {}


@dataclass(frozen=True)
class Measured:
    """Sessions of challenger (`new`) and champion (`old`), the interval of the difference of their means, and for each
    model (calibration, its standard error, requests with labels)."""

    number: int = 0
    measure: str = ""
    new: Arm = field(default_factory=Arm)
    old: Arm = field(default_factory=Arm)
    low: float = float("-inf")
    high: float = float("inf")
    calibration: Mapping[str, tuple[float, float, int]] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """The values as JSON; what is not finite is null."""

        def plain(value: float) -> float | None:
            return value if isfinite(value) else None

        calibration = {name: [plain(value) for value in found] for name, found in self.calibration.items()}
        means = {"new": self.new.mean, "old": self.old.mean}
        bounds = {"low": plain(self.low), "high": plain(self.high)}
        return asdict(self) | bounds | {"calibration": calibration, "means": means}


def look(design: Design, settings: Settings, rollout: Rollout) -> Measured:
    """Measure the canary's present step. The state is kept in `rollout/` of the design's folder, so that a monitor that
    starts again goes on."""
    root = settings.design_root(design.name)
    live, folder, begun_ns = root / LIVE, root / FOLDER, int(rollout.since * 1e9)
    served, challenger = read_release(root), Release.read(Path(rollout.release))
    models = (_name(served), _name(challenger))
    source: CanarySource = resolve(design.canary)
    until_ns = time.time_ns()
    sessions = with_new_files(Sessions.read(folder / "sessions.npz", begun_ns), source, live, models, until_ns)
    sessions.write(folder / "sessions.npz")
    new, old = sessions.arms(source, float(sessions.answers.at_ts.max(initial=0.0)))
    config = design.configuration(settings.preset).rollout
    alpha = config.guard_alpha / len(config.shares)
    low, high = always_valid_interval(new, old, alpha=alpha, effect=EFFECT * abs(old.mean))
    calibration = Calibration.read(folder, begun_ns)
    sources = [_source(design, settings, release) for release in (served, challenger)]
    calibration.add_files(sources, live, folder, until_ns)
    calibration.write(folder, begun_ns)
    ratios = {
        name: (sums.ratio, sums.error, sums.groups)
        for name, sums in (("old", calibration.sums[OLD]), ("new", calibration.sums[NEW]))
    }
    measured = Measured(rollout.number, source.measure, new, old, low, high, ratios)
    write_atomically(folder / MEASURED, json.dumps(measured.row(), indent=2))
    return measured


def _source(design: Design, settings: Settings, release: Release) -> DriftSource:
    """Reads predictions of this release. It loads a model, so one that was made before is used again."""
    key = (str(settings.design_root(design.name)), release.model_digest, release.model_version)
    if key not in _SOURCES:
        _SOURCES[key] = resolve(design.drift)(settings, release)
    return _SOURCES[key]


def _name(release: Release) -> str:
    return f"{release.model_name}/{release.model_version}"
