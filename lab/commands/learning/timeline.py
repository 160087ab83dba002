"""Command `timeline`: what happened to a design, in order."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.telemetry.timeline import read
from lab.commands.options import DesignName, Json, Preset, settings_for
from lab.designs import find_design
from lab.output.console import err, print_json, print_table
from lab.output.timeline import COLUMNS, rows_of, timeline_page


def timeline(
    design: DesignName,
    limit: Annotated[int, typer.Option(min=1, help="number of entries, the newest ones")] = 50,
    page: Annotated[Path | None, typer.Option("--html", help="also write the entries to this HTML page")] = None,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Show what happened to a design: shifts of its world, drifts, retrainings, verdicts of the gate, rollouts,
    releases."""
    found, settings = find_design(design), settings_for(preset)
    entries = read(settings, found.name)[-limit:]
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(timeline_page(found.name, settings.preset, entries))
        err.print(f"page: {page}", markup=False, soft_wrap=True)
    if as_json:
        print_json([entry.row() for entry in entries])
    elif entries:
        print_table(COLUMNS, rows_of(entries))
    else:
        err.print(f"nothing is recorded yet of {found.name} ({settings.preset})", markup=False)
