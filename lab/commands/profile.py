"""The command that shows where a running design spends its CPU time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.errors import DependencyError
from infra.files import disk_errors
from lab.commands.options import ELSEWHERE, DesignName, Json, LoadUsers, Preset, settings_for
from lab.designs import find_design
from lab.output.console import err, print_json


def profile(
    design: DesignName,
    preset: Preset = None,
    users: LoadUsers = None,
    seconds: Annotated[int, typer.Option(min=5, max=600, help="length of the load")] = 30,
    directory: Annotated[Path | None, typer.Option("--out", help="directory of the flame graph")] = None,
    as_json: Json = False,
) -> None:
    """Put load on a running design and show the CPU milliseconds per request of each part of its service and its
    worker, e.g. of each stage; also as a flame graph.

    Needs a design that `lab up` runs on this machine.
    """
    from lab.load.loading import run_load
    from lab.load.profile import profiled
    from lab.output.flame import write_flames
    from lab.output.profiles import profile_json, show_profile
    from lab.services.client import service_url
    from lab.services.runstate import read_state

    found, settings = find_design(design), settings_for(preset)
    base = service_url(found, settings)
    state = read_state(settings)
    running = [one for one in (state.services if state else ()) if not one.out]
    pids = {one.name: one.pid for one in running if one.design == found.name or one.name == f"{found.name}-worker"}
    if base not in {one.url for one in running}:
        raise DependencyError(f"`lab up` does not run {found.name} on this machine", hint=f"run: lab up {found.name}")
    directory = directory or settings.root / "profile" / found.name
    users = users or found.load_users
    page, status = directory / "flame.html", f"{users} users for {seconds} s on {base}"
    with disk_errors(directory, elsewhere=ELSEWHERE):
        with err.status(status), profiled(pids, directory) as profiles:
            run = run_load(found, settings, base, users=users, seconds=seconds, out=directory / "load")
        requests = int(run.figures["requests"])
        text = f"{requests:,} requests in {seconds} s, {run.figures['served_per_s']:.0f} a second."
        write_flames(page, f"CPU time of {found.name} under load", text, found.name, profiles)
    if as_json:
        print_json(profile_json(profiles, found.name, requests))
    else:
        show_profile(profiles, found.name, requests)
    err.print(f"flame graph: {page}", soft_wrap=True)
