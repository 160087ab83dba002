"""The newest result of the drift monitor as one small file, for processes that must stay light.

The monitor's `/metrics` and `lab retrain --check` read it. This module imports neither numpy nor Arrow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from infra.files import write_atomically

FOLDER, FILE = "drift", "status.json"


@dataclass(frozen=True)
class Status:
    """`windows` counts those of the served model, of which the first `reference` are the reference. `updated_at` is the
    end of the newest window, in seconds of the wall clock; `drifted_at` the end of the first window of a drift, 0
    without one. `calibration` and `loss` map a segment to (value, reference value), `psi` an input to its PSI.
    `labelled_before` is the labelled share of the reference. `damaged` are the files of the log that cannot be read.
    `due_at` is the time of the next run that has something to do although the log does not grow, 0 for none."""

    model_version: str = ""
    model_digest: str = ""
    windows: int = 0
    reference: int = 0
    updated_at: float = 0.0
    drifted_at: float = 0.0
    reasons: tuple[str, ...] = ()
    calibration: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    loss: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    psi: Mapping[str, float] = field(default_factory=dict)
    unknown_share: float = 0.0
    labelled_share: float = 0.0
    labelled_before: float = 0.0
    feature_age_s: float | None = None
    damaged: tuple[str, ...] = ()
    due_at: float = 0.0

    @property
    def is_drifted(self) -> bool:
        return self.drifted_at > 0

    @property
    def calibration_change(self) -> float:
        """Distance of calibration / reference calibration from 1, over all segments; 0 without a reference."""
        value, reference = self.calibration.get("all", (0.0, 0.0))
        return abs(value / reference - 1) if reference else 0.0

    @property
    def missing_labels(self) -> float:
        """Share of the usual labels that did not arrive; 0 without a reference."""
        return max(1 - self.labelled_share / self.labelled_before, 0.0) if self.labelled_before else 0.0

    def row(self) -> dict[str, Any]:
        return asdict(self) | {"is_drifted": self.is_drifted}


def write_status(design_root: Path, status: Status) -> None:
    write_atomically(design_root / FOLDER / FILE, json.dumps(asdict(status)))


def read_status(design_root: Path) -> Status:
    """An empty status if there is none, or if other code wrote it."""
    try:
        found = json.loads((design_root / FOLDER / FILE).read_text())
        found["reasons"], found["damaged"] = tuple(found["reasons"]), tuple(found.get("damaged", ()))
        for name in ("calibration", "loss"):
            found[name] = {segment: (value, reference) for segment, (value, reference) in found[name].items()}
        return Status(**found)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Status()
