"""The command that shows how far a served model has drifted: drift."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from infra.parent import stop_with_parent
from infra.telemetry.drift.status import Status
from lab.commands.options import DesignName, Json, Preset, settings_for
from lab.designs import find_design
from lab.output.console import err, print_json, print_table

MOST_MOVED = 8


def drift(
    design: DesignName,
    limit: Annotated[int, typer.Option(min=1, max=300, help="number of windows, newest last")] = 10,
    update: Annotated[bool, typer.Option("--update/--no-update", help="first read what is new in the log")] = True,
    html: Annotated[Path | None, typer.Option(help="write the report with its plots to this file")] = None,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Compare windows of the live log with the first windows after the release: calibration, loss and inputs.

    The monitor of a running lab does this by itself; the command also reads the newest files. A model has drifted if
    the same alarm about labels is there in successive windows; the knobs `drift_...` of the design say when.
    """
    from infra.telemetry.drift.alarms import INPUT, wording
    from infra.telemetry.drift.state import read_state, status_of
    from infra.telemetry.drift.update import update_drift
    from infra.telemetry.drift.windows import ALL

    found, settings = find_design(design), settings_for(preset)
    stop_with_parent(settings.parent_pipe)
    state = update_drift(found, settings) if update else read_state(settings.design_root(found.name))
    status = status_of(state)
    if html is not None:
        from infra.telemetry.drift.report import write_report

        write_report(html, found, settings, state)
        err.print(f"report: {html}", soft_wrap=True)
    if as_json:
        print_json(status.row())
        return
    if state.damaged:
        left_out = f"{len(state.damaged)} damaged files of the live log are left out"
        err.print(f"{design}: {left_out}, the newest is {state.damaged[-1]}", markup=False, soft_wrap=True)
    if not state.windows:
        err.print(f"{design}: no window yet; run: lab live {design}, and wait for the end of the first window")
        return
    rows = [
        [
            window.number,
            window.version,
            datetime.fromtimestamp(window.ended_at, UTC).strftime("%m-%d %H:%M:%S"),
            window.predictions,
            f"{window.calibration[ALL].ratio:.3f}" if window.calibration[ALL].below else "",
            f"{window.loss[ALL].ratio:.4f}" if window.loss[ALL].below else "",
            "reference"
            if window.number in {one.number for one in (*state.inputs, *state.outcomes)}
            else "; ".join(wording(alarm) for alarm in alarms if alarm.kind != INPUT),
            sum(alarm.kind == INPUT for alarm in alarms),
        ]
        for window, alarms in state.windows[-limit:]
    ]
    print_table(
        ("window", "model", "ended (UTC)", "predictions", "calibration", "loss", "alarms", "moved inputs"), rows
    )
    moved = sorted(status.psi.items(), key=lambda one: -one[1])[:MOST_MOVED]
    err.print("largest PSI: " + ", ".join(f"{name} {value:.2f}" for name, value in moved), soft_wrap=True)
    needed = found.configuration(settings.preset).drift.drift_reference
    err.print(f"{design}: {verdict(status, len(state.outcomes), needed)}", markup=False, soft_wrap=True)


def verdict(status: Status, reference: int, needed: int) -> str:
    """One sentence on the served model, whose reference has `reference` of the `needed` windows with labels."""
    if status.is_drifted:
        return f"the model has drifted: {'; '.join(status.reasons)}"
    if reference < needed:
        return f"no verdict yet: the reference has {reference} of {needed} windows with labels"
    return "no drift"
