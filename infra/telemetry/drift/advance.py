"""The state of the monitor after one more window: pure, so that a simulation can repeat it."""

from __future__ import annotations

from dataclasses import replace

from infra.evaluation.drift_config import DriftConfig
from infra.telemetry.drift.alarms import FEWEST_GROUPS, alarms_of, drifted_since
from infra.telemetry.drift.observed import DriftSource, Observed, Units
from infra.telemetry.drift.state import State
from infra.telemetry.drift.windows import ALL, window_of


def advanced(
    state: State,
    source: DriftSource,
    observed: Observed,
    mature: Units,
    config: DriftConfig,
    *,
    ended_at: float,
    unmatched: int = 0,
) -> State:
    """`state` with the window of the predictions in `observed` and of the units that matured in it.

    The first windows become the reference. A window without predictions is none of the reference's inputs.
    """
    window = window_of(source, observed, mature, next_number(state), ended_at, unmatched)
    inputs, outcomes = state.inputs, state.outcomes
    if len(inputs) < config.drift_reference and window.predictions:
        inputs = (*inputs, window)
    if len(outcomes) < config.drift_reference and window.loss[ALL].groups >= FEWEST_GROUPS:
        outcomes = (*outcomes, replace(window, counts={}))
    errors = (*state.errors, *window.errors)
    is_reference = window.number in {one.number for one in (*inputs, *outcomes)}
    alarms = () if is_reference else tuple(alarms_of(window, inputs, outcomes, errors, config))
    state = replace(state, inputs=inputs, outcomes=outcomes, errors=errors).with_window(window, alarms)
    since = drifted_since(state.of_release, config.drift_confirm)
    return replace(state, drifted_from=since[0] if since else -1, reasons=tuple(since[1]) if since else ())


def next_number(state: State) -> int:
    return state.windows[-1][0].number + 1 if state.windows else 0
