"""An alert about the served model asks for a retraining, in a small file per design that the monitor keeps.

The monitor writes the request while such an alert fires, and removes it afterwards. `lab retrain --check` reads it:
embedded, in a child of the monitor; composed, in the watch DAG of Airflow, after Alertmanager has posted the alert to
the monitor's webhook. The request names the served model, so it ends with the next release. This module imports neither
numpy nor Arrow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.errors import LabError
from infra.files import write_atomically
from infra.registry.release import read_release
from infra.settings import Settings
from infra.telemetry.alerts.alert import Alert

FILE = "retraining_request.json"
DRIFT_ALERTS, AGE_ALERTS = ("ModelDrifted", "CalibrationMoved"), ("ModelTooOld",)


@dataclass(frozen=True)
class Request:
    """`alerts` are the names of the alerts, and `model_digest` is of the model that was served when they began."""

    alerts: tuple[str, ...]
    model_digest: str

    @property
    def is_drift(self) -> bool:
        """Whether the alerts say that predictions are wrong, and not only that the model is old."""
        return any(name in DRIFT_ALERTS for name in self.alerts)


def keep_requests(settings: Settings, designs: Iterable[str], active: Iterable[Alert]) -> None:
    """Write or remove the request of each design, given the alerts that fire. A design without a release has none.

    While the same alerts fire, a request keeps the model for which it was written.
    """
    names: dict[str, set[str]] = {}
    for alert in active:
        if alert.name in (*DRIFT_ALERTS, *AGE_ALERTS):
            names.setdefault(alert.design, set()).add(alert.name)
    for design in designs:
        root, alerts = settings.design_root(design), tuple(sorted(names.get(design, ())))
        before = _read(root)
        if not alerts:
            (root / FILE).unlink(missing_ok=True)
        elif before is None or before.alerts != alerts:
            try:
                digest = read_release(root).model_digest
            except LabError:
                continue
            write_atomically(root / FILE, json.dumps(asdict(Request(alerts, digest))))


def read_request(design_root: Path, model_digest: str) -> Request | None:
    """The request for this served model, None without one."""
    found = _read(design_root)
    return found if found is not None and found.model_digest == model_digest else None


def has_request(design_root: Path) -> bool:
    """Whether there is a request for the served model; False without a release."""
    try:
        return read_request(design_root, read_release(design_root).model_digest) is not None
    except LabError:
        return False


def _read(design_root: Path) -> Request | None:
    """The request, whatever its model. A damaged file counts as none, and the next alert replaces it."""
    try:
        found = json.loads((design_root / FILE).read_text())
        return Request(tuple(found["alerts"]), str(found["model_digest"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None
