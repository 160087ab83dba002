"""The command that builds a design again when its models are due: retrain."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.build.tasks import DUE
from infra.parent import stop_with_parent
from lab.commands.options import DesignName, Json, Preset, settings_for
from lab.designs import find_design
from lab.output.console import err, print_json


def retrain(
    design: DesignName,
    check: Annotated[bool, typer.Option("--check", help=f"only check; exit code {DUE} if a retraining is due")] = False,
    max_age_h: Annotated[
        float | None, typer.Option(min=0.0, help="age at which a retraining is due, in hours of world time")
    ] = None,
    enough_rows: Annotated[
        int | None, typer.Option(min=1, help="number of new labelled rows at which a retraining is due")
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0.0, metavar="SECONDS", help="wait so long for another build of the design to end")
    ] = 0.0,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="release the new model to all users instead of rolling it out")
    ] = False,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Build a design again if its models are due: by drift, by the age of their data, or by new rows of the live log.

    The new model begins a rollout (`lab rollout`), which the monitor of a running lab moves on. Without --check, exit
    code 0 if nothing is due or the build ended well, and 3 if the gate refused the new model.
    """
    from infra.live.retraining import MAX_AGE_S, NEW_ROWS, check_retraining
    from infra.registry.rollout import read_rollout
    from lab.services.building import run_build, stop_at_once

    stop_at_once()
    found, settings = find_design(design), settings_for(preset)
    stop_with_parent(settings.parent_pipe)
    checked = check_retraining(
        found,
        settings,
        max_age_s=MAX_AGE_S if max_age_h is None else max_age_h * 3600,
        enough_rows=enough_rows or NEW_ROWS,
    )
    if as_json:
        print_json(vars(checked))
    else:
        err.print(f"{design}: {'due' if checked.due else 'not due'}; {checked.reason}", markup=False, soft_wrap=True)
    if check and checked.due:
        raise typer.Exit(DUE)
    if not check and checked.due:
        run_build(found, settings, wait_s=wait, reason=checked.reason, as_challenger=not at_once)
        rollout = read_rollout(settings.design_root(found.name))
        if rollout.is_active:
            err.print(f"model version {rollout.version} is the challenger; see: lab rollout {design}", soft_wrap=True)
