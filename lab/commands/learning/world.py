"""Commands that change the world of the simulated people: world shift, world show."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from infra.design import Design, resolve
from infra.errors import UsageError
from infra.files import disk_errors
from infra.live.clock import CLOCK_FILE, world_time
from infra.live.live_log import live_root
from infra.live.world_shift import WorldShift, clear_shift, read_shift, write_shift
from infra.settings import Settings
from infra.telemetry.timeline import record
from lab.commands.options import DesignName, Json, Preset, settings_for
from lab.designs import find_design, load_designs
from lab.output.console import err, print_json

SIZES = ", ".join(
    f"{design.name} {design.shift.low:g} to {design.shift.high:g} (default {design.shift.size:g})"
    for design in load_designs()
)
app = typer.Typer(no_args_is_help=True, help="Change the world that the simulated people of `lab live` live in.")


@app.command()
def shift(
    design: DesignName,
    size: Annotated[float | None, typer.Option(help=f"size of the shift: {SIZES}")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="take the shift back")] = False,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Shift the world of a design: tastes, click rates, or road works on a bridge.

    A running `lab live` follows within about a second, and a later one begins with the shift. Services and builds are
    not told: they learn of it from what the simulated people do.
    """
    found, settings = find_design(design), settings_for(preset)
    root, world_ts = settings.design_root(found.name), _world_ts(found, settings)
    if clear:
        if size is not None:
            raise UsageError("--clear takes the shift back; leave out --size")
        with disk_errors(root):
            was_shifted = clear_shift(root)
        if was_shifted:
            record(settings, found.name, "shift", "the world is again as generated", world_ts=world_ts, size=0.0)
    else:
        chosen = found.shift.check(found.shift.size if size is None else size)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with disk_errors(root):
            write_shift(root, WorldShift(chosen, now, world_ts))
        record(settings, found.name, "shift", _sentence(found, chosen), world_ts=world_ts, size=chosen)
    _show(found, settings, as_json=as_json)


@app.command()
def show(design: DesignName, preset: Preset = None, as_json: Json = False) -> None:
    """Show the present shift of a design's world."""
    _show(find_design(design), settings_for(preset), as_json=as_json)


def _show(design: Design, settings: Settings, *, as_json: bool) -> None:
    present = read_shift(settings.design_root(design.name))
    if as_json:
        found = present or WorldShift(0.0, "")
        print_json({"design": design.name, "title": design.shift.title, **vars(found)})
    elif present is None:
        err.print(f"the world of {design.name} ({settings.preset}) is as generated", markup=False)
    else:
        what = f"{design.name} ({settings.preset}), since {present.at}: {_sentence(design, present.size)}"
        err.print(what, markup=False, soft_wrap=True)


def _sentence(design: Design, size: float) -> str:
    unit = f" {design.shift.unit}" if design.shift.unit else ""
    return f"{design.shift.title} (size {size:g}{unit})"


def _world_ts(design: Design, settings: Settings) -> float | None:
    """The world's time; None if no process of the world runs."""
    return world_time(live_root(resolve(design.live_log), settings) / CLOCK_FILE)
