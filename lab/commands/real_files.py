"""Options of `lab build` for files that the user supplies, and the build from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from infra.design import Design, resolve
from infra.errors import UsageError
from infra.parent import stop_with_parent
from lab.commands.options import settings_for
from lab.designs import find_design, load_designs

ADS, ETA = "ctr_prediction on your own click log", "eta_prediction on your own map and trips"
BOTH = "Your own files instead of the generated world"


def _option(panel: str, metavar: str, text: str) -> Any:
    return typer.Option(metavar=metavar, rich_help_panel=panel, help=text)


Data = Annotated[
    str | None,
    _option(
        BOTH,
        "FORMAT:FILE",
        "ctr_prediction: criteo:FILE or csv:FILE; eta_prediction: taxi:FILE, tlc:FILE or csv:FILE; plain or gzip",
    ),
]
Split = Annotated[
    str | None,
    _option(
        BOTH,
        "HOW",
        "which fifth is tested; ctr_prediction: the last rows (rows, default) or the latest by time:COLUMN; "
        "eta_prediction: the latest (time, default) or a random one (rows)",
    ),
]
Label = Annotated[str | None, _option(ADS, "COLUMN", "column of csv:FILE that holds the label")]
Graph = Annotated[
    str | None,
    _option(
        ETA, "FORMAT:PATH", "road map: dimacs:DIR (.gr and .co files) or graphml:FILE (OSMnx); with --data or alone"
    ),
]
Zones = Annotated[str | None, _option(ETA, "FILE", "GeoJSON of the zones of tlc:FILE")]
PickupTime = Annotated[str | None, _option(ETA, "COLUMN", "csv:FILE: time of departure")]
Duration = Annotated[str | None, _option(ETA, "COLUMN", "csv:FILE: trip time in seconds")]
FromLonLat = Annotated[str | None, _option(ETA, "LON,LAT", "csv:FILE: two columns of the departure")]
ToLonLat = Annotated[str | None, _option(ETA, "LON,LAT", "csv:FILE: two columns of the arrival")]


def parse_files(design: Design, given: Mapping[str, str]) -> Any:
    """The files that the options name, a value of the class `design.real_files.source`.

    Raises `UsageError` if the design has no use for an option, or if the options do not fit together.
    """
    if design.real_files is None:
        others = [other.name for other in load_designs() if other.real_files is not None]
        raise UsageError(f"{design.name} cannot train on your own files", hint=f"designs that can: {', '.join(others)}")
    source = resolve(design.real_files.source)
    for name in given:
        if name not in source.OPTIONS:
            raise UsageError(
                f"--{name.replace('_', '-')} is no option of {design.name}", hint=f"{design.name} takes {source.USAGE}"
            )
    return source.of(**given)


def build_files(design: str, preset: str | None, given: Mapping[str, str], *, quiet: bool, as_json: bool) -> None:
    """Build from the files. They are checked before anything imports training code, which takes seconds."""
    found = find_design(design)
    source = parse_files(found, given)
    assert found.real_files is not None
    source.check()
    if found.real_files.check:
        resolve(found.real_files.check)(source)
    from lab.output.real_build import run_real_build, show_real_build
    from lab.services.building import stop_at_once

    stop_at_once()
    settings = settings_for(preset)
    stop_with_parent(settings.parent_pipe)
    show_real_build(run_real_build(found.real_files, settings, source), as_json=as_json, quiet=quiet)
