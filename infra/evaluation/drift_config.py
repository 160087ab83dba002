"""Knobs of the drift monitor and of retraining, the same for each design.

Thresholds are effect sizes, not p-values: with enough traffic every difference is significant.
"""

from __future__ import annotations

from dataclasses import dataclass

from infra.design import knob


@dataclass(frozen=True)
class DriftConfig:
    """`infra.telemetry.drift.alarms` compares a window with the reference: the first windows after the release."""

    drift_window: int = knob(
        2000, unit="predictions", low=50, high=100_000, trades="larger: less noise, drift is noticed later"
    )
    drift_window_s: float = knob(
        3600.0,
        unit="s",
        low=5.0,
        high=86_400.0,
        trades="longer: less noise under light traffic, drift is noticed later",
    )
    drift_reference: int = knob(
        3, unit="windows", low=1, high=100, trades="more: a steadier reference, later monitoring after a release"
    )
    drift_confirm: int = knob(
        2, unit="windows", low=1, high=10, trades="more: fewer false alarms, drift is noticed later"
    )
    drift_calibration: float = knob(
        0.2, unit="", low=0.01, high=10.0, trades="higher: fewer alarms, a worse calibration goes unnoticed"
    )
    drift_loss: float = knob(
        0.15, unit="", low=0.01, high=10.0, trades="higher: fewer alarms, worse predictions go unnoticed"
    )
    drift_psi: float = knob(0.25, unit="", low=0.01, high=10.0, trades="higher: fewer inputs are reported as moved")
    retrain_cooldown_s: float = knob(
        3600.0, unit="s", low=0.0, high=604_800.0, trades="longer: fewer builds, a later second try after a refusal"
    )
    retrain_per_day: int = knob(
        6, unit="builds", low=0, high=100, trades="more: follows a world that changes often, more load; 0: never"
    )
