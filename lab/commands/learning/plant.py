"""The command that plants a cause of bad answers, for the reader to find: plant."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.errors import UsageError
from infra.faults.planted import clear_planted, read_planted, write_planted
from infra.files import disk_errors
from lab.commands.options import DesignName, Json, Preset, settings_for
from lab.designs import find_design
from lab.output.console import err, print_json, print_table


def plant(
    design: DesignName,
    cause: Annotated[str | None, typer.Argument(help="name of the cause; without one, list them")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="remove the planted cause")] = False,
    show: Annotated[bool, typer.Option("--show", help="also say which cause is planted")] = False,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Plant a cause that makes a design good offline and bad online; no other command says that it is planted.

    A cause in a build step acts with the next `lab build`; a cause in the service acts within a second.
    """
    found, settings = find_design(design), settings_for(preset)
    root, names = settings.design_root(found.name), [plant.name for plant in found.plants]
    if clear and cause is not None:
        raise UsageError("--clear removes the planted cause; leave out its name")
    if cause is not None and cause not in names:
        raise UsageError(f"{design} has no cause {cause!r}", hint=f"choose one of: {', '.join(names) or 'none'}")
    if clear or cause is not None:
        from infra.build.runner import only_build  # a build must not change its inputs half-way

        with disk_errors(root), only_build(root / "steps"):
            if cause is None:
                clear_planted(root)
            else:
                write_planted(root, cause)
        changed = next((plant.step for plant in found.plants if plant.name == cause), "")
        if clear or changed:
            err.print(f"run: lab build {design} (a running service loads the release by itself)", soft_wrap=True)
    elif as_json:
        rows = [{"cause": item.name, "title": item.title, "where": item.step or "service"} for item in found.plants]
        print_json(rows)
    else:
        print_table(("cause", "what is wrong", "where"), [[p.name, p.title, p.step or "service"] for p in found.plants])
    if show:
        err.print(f"planted: {read_planted(root) or 'none'}", markup=False)
