"""Compares a window with the reference windows, and decides whether the served model has drifted.

An alarm needs an effect above its threshold and, for ratios of labels, a difference of `SURE` standard errors. The
model has drifted once the same alarm about labels is there in `drift_confirm` successive windows. A moved input alone
is reported and is no drift: its effect on predictions is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from infra.evaluation.drift_config import DriftConfig
from infra.telemetry.drift.adwin import rise
from infra.telemetry.drift.bins import psi
from infra.telemetry.drift.windows import ALL, Sums, Window, together

SURE = 3.5
"""standard errors; a window compares about 20 segments, of which 1 in 2,000 is beyond this without any change"""
FEWEST_GROUPS = 30
"""requests with labels, in a window and in the reference, without which a ratio is not compared"""
UNKNOWN = 0.1
"""rise of the share of predictions for unknown users, riders or devices"""
LABELLED = 0.7
"""share of the reference's labelled share below which labels are missing"""
CALIBRATION, LOSS, ERRORS, INPUT, UNKNOWN_SHARE = "calibration", "loss", "errors", "input", "unknown"
LABELS = "labels"
QUALITY = (CALIBRATION, LOSS, ERRORS)
"""alarms about labels"""


@dataclass(frozen=True)
class Alarm:
    """`kind` is one of the constants above, `name` the segment or the input. `before` is the value of the reference."""

    kind: str
    name: str
    value: float
    before: float


def alarms_of(
    window: Window, inputs: Sequence[Window], outcomes: Sequence[Window], errors: Sequence[float], config: DriftConfig
) -> list[Alarm]:
    """Alarms of a window, for the reference windows of the inputs and of the outcomes.

    `errors` are the block means of all windows since the release, up to and with this one. A window with missing labels
    has no alarms about labels.
    """
    found = quality_alarms(window, outcomes, errors, config)
    moved = moved_inputs(window, inputs)
    found += [Alarm(INPUT, name, value, 0.0) for name, value in moved.items() if value > config.drift_psi]
    total = sum(one.predictions for one in inputs)
    if total and window.predictions:
        usual, share = sum(one.unknown for one in inputs) / total, window.unknown / window.predictions
        if share > usual + UNKNOWN:
            found.append(Alarm(UNKNOWN_SHARE, ALL, share, usual))
    if (missing := missing_labels(window, outcomes)) is not None:
        found = [missing, *(alarm for alarm in found if alarm.kind not in QUALITY)]
    return found


def quality_alarms(
    window: Window, outcomes: Sequence[Window], errors: Sequence[float], config: DriftConfig
) -> list[Alarm]:
    """The alarms about labels."""
    found: list[Alarm] = []
    _, calibration, loss = together(outcomes)
    for name, sums in window.calibration.items():
        change = sure_change(sums, calibration.get(name, Sums()))
        if change is not None and abs(math.log(max(change, 1e-6))) > math.log1p(config.drift_calibration):
            found.append(Alarm(CALIBRATION, name, sums.ratio, calibration[name].ratio))
    change = sure_change(window.loss[ALL], loss.get(ALL, Sums()))
    if change is not None and change > 1 + config.drift_loss:
        found.append(Alarm(LOSS, ALL, window.loss[ALL].ratio, loss[ALL].ratio))
    if window.errors and (risen := rise(errors, len(window.errors))):
        before, after = risen
        if after > before * (1 + config.drift_loss):
            found.append(Alarm(ERRORS, ALL, after, before))
    return found


def missing_labels(window: Window, outcomes: Sequence[Window]) -> Alarm | None:
    """An alarm if fewer units than usual have a label. The labels that are there say nothing about the model then: a
    trip whose end is not reported would count as one that takes long."""
    if window.mature < FEWEST_GROUPS or not (usual := labelled_share(outcomes)):
        return None
    share = window.labelled / window.mature
    return Alarm(LABELS, ALL, share, usual) if share < LABELLED * usual else None


def labelled_share(windows: Sequence[Window]) -> float:
    """Labelled / mature units of these windows; 0 without any."""
    mature = sum(one.mature for one in windows)
    return sum(one.labelled for one in windows) / mature if mature else 0.0


def moved_inputs(window: Window, reference: Sequence[Window]) -> dict[str, float]:
    """Input -> PSI of the window against the reference windows; none in a window without predictions."""
    counts, _, _ = together(reference)
    return {name: psi(counts[name], now) for name, now in window.counts.items() if name in counts and any(now)}


def wording(alarm: Alarm) -> str:
    """One alarm as text, such as "calibration of topic 3: 0.41, reference 0.78"."""
    if alarm.kind == INPUT:
        return f"input {alarm.name} moved: PSI {alarm.value:.2f}"
    texts = {
        CALIBRATION: "calibration",
        LOSS: "loss",
        ERRORS: "loss (ADWIN)",
        UNKNOWN_SHARE: "share of unknown entities",
        LABELS: "share of labelled outcomes",
    }
    of = "" if alarm.name == ALL else f" of {alarm.name}"
    return f"{texts[alarm.kind]}{of}: {alarm.value:.3g}, reference {alarm.before:.3g}"


def sure_change(now: Sums, reference: Sums) -> float | None:
    """The ratio now / the ratio of the reference, or None if the difference may be noise.

    The noise of the window is its own or that of the reference, scaled to the window's size, if that is larger: a
    window without a single click shows no noise of its own.
    """
    if min(now.groups, reference.groups) < FEWEST_GROUPS or not reference.above:
        return None
    usual = reference.error * math.sqrt(reference.below / now.below) if now.below > 0 else math.inf
    noise = math.hypot(max(now.error, usual), reference.error)
    return now.ratio / reference.ratio if abs(now.ratio - reference.ratio) > SURE * noise else None


def drifted_since(windows: Sequence[tuple[Window, Sequence[Alarm]]], confirm: int) -> tuple[int, list[Alarm]] | None:
    """(number of the first window, alarms of the newest) if each of the newest `confirm` windows has the same alarm.

    Windows without labels are left out. None if the model has not drifted.
    """
    labelled = [one for one in windows if one[0].loss[ALL].groups >= FEWEST_GROUPS]
    if len(labelled) < confirm:
        return None
    keys = [{(alarm.kind, alarm.name) for alarm in alarms if alarm.kind in QUALITY} for _, alarms in labelled]
    same = set.intersection(*keys[-confirm:])
    if not same:
        return None
    first = len(keys)
    while first and keys[first - 1] & same:
        first -= 1
    return labelled[first][0].number, [alarm for alarm in labelled[-1][1] if (alarm.kind, alarm.name) in same]
