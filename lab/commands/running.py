"""Commands that run services: up, down, status, serve, work, monitor."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from infra.design import Design
from infra.errors import LabError
from lab.commands.options import DesignName, Json, Preset, settings_for
from lab.designs import NAMES, find_design, load_designs
from lab.output.console import err, lab_command, out, print_json, print_table
from lab.services.ports import MOST_REPLICAS


def up(
    designs: Annotated[list[str] | None, typer.Argument(help="designs to start; all by default")] = None,
    preset: Preset = None,
    workers: Annotated[
        int,
        typer.Option("--workers", "--replicas", min=1, max=MOST_REPLICAS, help="replicas of each service"),
    ] = 1,
    as_json: Json = False,
) -> None:
    """Build what is missing, start all services, and stop them on Ctrl-C.

    Several replicas of a service share its port. One that dies or hangs is replaced, and the others serve meanwhile.
    """
    from lab.services.runstate import read_state
    from lab.services.supervisor import Stopped, Supervisor

    settings = settings_for(preset)
    chosen = [find_design(name) for name in designs] if designs else load_designs()
    if state := read_state(settings):
        err.print(f"the lab is already running (process {state.supervisor.pid}); stop it with: {lab_command()} down")
        _print_addresses([(one.name, one.url) for one in state.services if one.name in NAMES], as_json=as_json)
        return
    try:
        with Supervisor(settings, chosen, workers) as supervisor:
            for started in supervisor.start():
                if not as_json:
                    _print_welcome(find_design(started.design), started.url)
            if as_json:
                served = [(item.name, item.url) for item in supervisor.services if item.name in NAMES]
                _print_addresses(served, as_json=True)
            else:
                out.print("Press Ctrl-C to stop the lab.")
            sys.stdout.flush()
            supervisor.watch()
    except Stopped:
        err.print("\nstopped; no process is left running")


def down(preset: Preset = None, as_json: Json = False) -> None:
    """Stop a running lab."""
    from lab.services.runstate import forget_state, read_state

    settings = settings_for(preset)
    state = read_state(settings)
    if state is not None:
        os.kill(state.supervisor.pid, signal.SIGTERM)
        until = time.monotonic() + 15
        while state.supervisor.is_alive():
            if time.monotonic() > until:
                raise LabError(
                    f"process {state.supervisor.pid} does not stop", hint=f"run: kill -9 {state.supervisor.pid}"
                )
            time.sleep(0.05)
        forget_state(settings)
    if as_json:
        print_json({"stopped": state is not None})
    else:
        err.print("stopped" if state else "no lab was running")


def status(preset: Preset = None, as_json: Json = False) -> None:
    """List the running processes."""
    from lab.services.client import call
    from lab.services.runstate import pss_mb, read_state

    settings = settings_for(preset)
    state = read_state(settings)
    rows: list[dict[str, Any]] = []
    for service in state.services if state else ():
        row = {
            "service": service.name,
            "pid": service.pid,
            "url": service.direct_url,
            "state": f"out: {service.out}" if service.out else "down",
            "pss_mb": 0.0,
            "model": "",
        }
        if service.is_alive():
            row["pss_mb"] = round(pss_mb(service.pid), 1)
            row["state"] = "up"
            if not service.design:  # the broker, the monitor, or a worker
                rows.append(row)
                continue
            try:
                row["model"] = call("GET", f"{service.direct_url}/readyz", timeout_s=2)["model_version"]
                row["state"] = "ready"
            except LabError as exc:
                row["state"] = f"not ready: {exc}"
        rows.append(row)
    if as_json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
    elif state is not None:
        err.print(f"starting: process {state.supervisor.pid} is building")
    else:
        err.print(f"no lab is running (preset {settings.preset}); start it with: {lab_command()} up")


def serve(
    design: DesignName,
    preset: Preset = None,
    port: Annotated[int | None, typer.Option(help="port; by default the design's own")] = None,
) -> None:
    """Serve a built design in the foreground, on 127.0.0.1: one process. `lab up --workers N` runs several."""
    from lab.services.ports import served_at
    from lab.services.serving import serve_design

    found, settings = find_design(design), settings_for(preset)
    serve_design(found, served_at(found, settings, port))


def work(
    design: DesignName,
    preset: Preset = None,
    port: Annotated[int | None, typer.Option(help="port of the service; the worker uses the next one")] = None,
) -> None:
    """Consume a design's events in the foreground: write the log and refresh the features."""
    from lab.services.ports import served_at
    from lab.services.working import work_design

    found, settings = find_design(design), settings_for(preset)
    work_design(found, served_at(found, settings, port))


def monitor(
    preset: Preset = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="evaluate the alert rules over the metrics of the running lab")
    ] = False,
) -> None:
    """Keep the alerts in the foreground: those of Alertmanager, or with --watch those of the running lab."""
    from lab.services.monitor.run import run_monitor

    run_monitor(settings_for(preset), watch=watch)


def _print_addresses(services: Sequence[tuple[str, str]], *, as_json: bool) -> None:
    if as_json:
        print_json([{"design": name, "url": url} for name, url in services])
    else:
        print_table(("design", "url"), services)


def _print_welcome(design: Design, url: str) -> None:
    lab = lab_command()
    question = json.dumps({name: value for name, value in design.ask.example().items() if value != []})
    out.print(f"\n[bold]{design.title}[/] is up at {url}")
    out.print("  in the browser   " + url)
    out.print(f"  with curl        curl -s {url}{design.ask.path} -H 'content-type: application/json' -d '{question}'")
    first = design.ask.arguments[0]
    out.print(f"  on the terminal  {lab} ask {design.name} --{first.option} {first.default}")
    out.print(f"  break something  {lab} fault {design.name} feature_store down")
    out.print(f"  under load       {lab} load {design.name}")
    out.print(f"  with people      {lab} live {design.name} --rate 5")
    sys.stdout.flush()
