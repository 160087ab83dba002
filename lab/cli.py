"""The `lab` command. Standard output is data; exit codes: 0 ok, 1 error, 2 usage, 3 budget broken, 4 no answer."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from infra.design import Design
from infra.errors import BudgetBroken, LabError, UsageError
from infra.settings import Settings
from lab.console import err, lab_command, out, print_error, print_json, print_table
from lab.designs import NAMES, find_design, load_designs

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="ML System Design Lab: reference ML systems that run on one laptop.",
    epilog="Exit codes: 0 ok, 1 error, 2 usage, 3 budget or hypothesis broken, 4 a dependency does not answer.",
)

DesignName = Annotated[str, typer.Argument(help=f"one of: {', '.join(NAMES)}")]
Preset = Annotated[
    Literal["smoke", "small", "large"] | None, typer.Option(help="size of the world; by default small, or LAB_PRESET")
]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]


def main() -> None:
    """Entry point: explained failures become one line and an exit code, bugs keep their traceback."""
    try:
        app()
    except LabError as exc:
        print_error(exc)
        sys.exit(exc.exit_code)


@app.command()
def up(
    designs: Annotated[list[str] | None, typer.Argument(help="which designs; all by default")] = None,
    preset: Preset = None,
) -> None:
    """Build what is missing, serve, and stop it all on Ctrl-C."""
    from lab.runstate import read_state
    from lab.supervisor import Stopped, Supervisor

    settings = settings_for(preset)
    chosen = [find_design(name) for name in designs] if designs else load_designs()
    if state := read_state(settings):
        err.print(f"the lab is up already (process {state.supervisor.pid}); stop it with: {lab_command()} down")
        for service in state.services:
            out.print(f"{service.name:<16} {service.url}")
        return
    try:
        with Supervisor(settings, chosen) as supervisor:
            supervisor.start()
            for started in supervisor.services:
                _print_welcome(started.design, started.url)
            supervisor.watch()
    except Stopped:
        err.print("\nstopped; nothing is left running")


@app.command()
def down(preset: Preset = None, as_json: Json = False) -> None:
    """Stop a lab that is up."""
    from lab.runstate import forget_state, read_state

    settings = settings_for(preset)
    state = read_state(settings)
    if state is not None:
        os.kill(state.supervisor.pid, signal.SIGTERM)
        until = time.monotonic() + 15
        while state.supervisor.is_alive():
            if time.monotonic() > until:
                raise LabError(f"process {state.supervisor.pid} does not stop", hint=f"kill -9 {state.supervisor.pid}")
            time.sleep(0.05)
        forget_state(settings)
    if as_json:
        print_json({"stopped": state is not None})
    else:
        err.print("stopped" if state else "nothing was running")


@app.command()
def status(preset: Preset = None, as_json: Json = False) -> None:
    """Show what is running."""
    from lab.client import call
    from lab.runstate import pss_mb, read_state

    settings = settings_for(preset)
    state = read_state(settings)
    rows: list[dict[str, Any]] = []
    for service in state.services if state else ():
        row = {
            "service": service.name,
            "pid": service.pid,
            "url": service.url,
            "state": "down",
            "pss_mb": 0.0,
            "model": "",
        }
        if service.is_alive():
            row["pss_mb"] = round(pss_mb(service.pid), 1)
            try:
                row["model"] = call("GET", f"{service.url}/readyz", timeout_s=2)["model_version"]
                row["state"] = "ready"
            except LabError as exc:
                row["state"] = f"not ready: {exc}"
        rows.append(row)
    if as_json:
        print_json(rows)
    elif rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
    else:
        err.print(f"nothing is running (preset {settings.preset}); start it with: {lab_command()} up")


@app.command()
def doctor(preset: Preset = None, as_json: Json = False) -> None:
    """Check this machine: Python, packages, disk, ports."""
    from lab.doctor import examine

    findings = examine(settings_for(preset))
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        rows = [["ok" if item.ok else "MEND", item.check, item.found, item.advice] for item in findings]
        print_table(("", "check", "found", "what to do"), rows)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


@app.command()
def designs(preset: Preset = None, as_json: Json = False) -> None:
    """List the designs with their budgets."""
    settings = settings_for(preset)
    rows: list[dict[str, Any]] = [
        {
            "design": design.name,
            "title": design.title,
            "summary": design.summary,
            "port": design.port,
            "budgets": {budget.name: budget.limit for budget in design.budgets},
            "knobs": len(design.knobs(settings.preset)),
        }
        for design in load_designs()
    ]
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            del row["summary"]
            row["budgets"] = ", ".join(f"{name} {limit:g}" for name, limit in row["budgets"].items())
        print_table(list(rows[0]), [list(row.values()) for row in rows])


@app.command()
def build(
    design: DesignName,
    preset: Preset = None,
    from_step: Annotated[str | None, typer.Option("--from", help="run this step and all later ones again")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="print no summary")] = False,
    as_json: Json = False,
) -> None:
    """Make the data, features, model, index and release of a design; steps that are done are skipped."""
    from lab.building import run_build

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    settings = settings_for(preset)
    _quiet_libraries()
    started = time.perf_counter()
    runs = run_build(find_design(design), settings, from_step=from_step)
    if as_json:
        keys = ("name", "skipped", "seconds", "peak_mb", "facts")
        print_json([{key: getattr(run, key) for key in keys} for run in runs])
    elif not quiet:
        err.print(f"built {design} ({settings.preset}) in {time.perf_counter() - started:.1f} s")


@app.command()
def serve(
    design: DesignName,
    preset: Preset = None,
    port: Annotated[int | None, typer.Option(help="by default the design's own")] = None,
) -> None:
    """Serve a built design in the foreground, on 127.0.0.1."""
    from lab.serving import serve_design

    settings = settings_for(preset)
    serve_design(find_design(design), settings.model_copy(update={"port": port}) if port else settings)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def ask(
    context: typer.Context,
    design: DesignName,
    preset: Preset = None,
    url: Annotated[str | None, typer.Option(help="address of the service")] = None,
    as_json: Json = False,
) -> None:
    """Ask a running design once and show the answer with its trace, e.g. `lab ask feed_ranking --user 7 --k 10`."""
    from lab.asking import request_body, show_answer
    from lab.client import call, service_url

    found = find_design(design)
    body = request_body(found, context.args)
    base = url or service_url(found, settings_for(preset))
    answer = call("POST", f"{base}{found.ask.path}?explain=true", json=body)
    if as_json:
        print_json(answer)
    else:
        show_answer(found, answer)


@app.command()
def fault(
    design: DesignName,
    port: Annotated[str | None, typer.Argument(help="which part, e.g. feature_store")] = None,
    name: Annotated[str | None, typer.Argument(help="what is wrong with it, e.g. down; or clear")] = None,
    delay_s: Annotated[float, typer.Option(help="for faults that slow down")] = 0.1,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Break a part of a running design, or mend it; without a part, list what can be broken."""
    from lab.client import call, service_url

    base = f"{service_url(find_design(design), settings_for(preset))}/v1/faults"
    if port is None:
        rows = call("GET", base)
    elif name is None:
        raise UsageError("say what is wrong with it, or clear", hint=f"run: lab fault {design} {port} down")
    elif name == "clear":
        rows = call("DELETE", f"{base}/{port}")
    else:
        rows = call("PUT", f"{base}/{port}", json={"fault": name, "delay_s": delay_s})
    if as_json:
        print_json(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


@app.command()
def load(
    design: DesignName,
    preset: Preset = None,
    users: Annotated[int, typer.Option(min=1, max=1000, help="simulated users; each asks five times a second")] = 20,
    seconds: Annotated[int, typer.Option(min=1, max=3600)] = 20,
    directory: Annotated[Path | None, typer.Option("--out", help="where the reports go")] = None,
    url: Annotated[str | None, typer.Option(help="address of the service")] = None,
    as_json: Json = False,
) -> None:
    """Put load on a running design; exit code 3 when a budget of the design is broken."""
    from lab.client import service_url
    from lab.loading import run_load

    found, settings = find_design(design), settings_for(preset)
    base = url or service_url(found, settings)
    directory = directory or settings.root / "load" / found.name
    with err.status(f"{users} users for {seconds} s on {base}"):
        verdict = run_load(found, settings, base, users=users, seconds=seconds, out=directory)
    if as_json:
        print_json(verdict)
    else:
        rows = [
            [row["budget"], row["value"], row["limit"], row["unit"], "holds" if row["holds"] else "BROKEN"]
            for row in verdict["budgets"]
        ]
        print_table(
            ("budget", "measured", "limit", "unit", ""), rows, title=f"{verdict['figures']['requests']:,} requests"
        )
        err.print(f"report: {directory / 'report.html'}", soft_wrap=True)
    if not verdict["enough_requests"]:
        raise BudgetBroken(
            "fewer than 1,000 requests: too few to judge a share of 0.999", hint="use more --users or --seconds"
        )
    if not verdict["passed"]:
        broken = [row["budget"] for row in verdict["budgets"] if not row["holds"]]
        raise BudgetBroken(f"budgets broken: {', '.join(broken)}")


@app.command()
def evaluate(
    design: DesignName,
    preset: Preset = None,
    as_json: Json = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="print a Markdown table")] = False,
) -> None:
    """Quality of the model that was built, against the log and against the oracle; exit code 3 below a bound."""
    from infra.figures import read_figures
    from infra.pipeline.steps import is_built, step_paths
    from lab.building import run_build
    from lab.figures import show_figures

    found, settings = find_design(design), settings_for(preset)
    _quiet_libraries()
    if not is_built(found, settings):
        run_build(found, settings)
    figures = read_figures(step_paths(found, settings)[found.evaluate])
    show_figures(figures, as_json=as_json, as_markdown=as_markdown)
    _hold(figures)


@app.command()
def bench(
    design: DesignName,
    only: Annotated[str | None, typer.Option(help="ids of figures, separated by commas; all by default")] = None,
    rounds: Annotated[int, typer.Option(min=1, max=20, help="for figures that are measured more than once")] = 3,
    as_json: Json = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="print a Markdown table")] = False,
) -> None:
    """Measure the figures that the design promises, in a fresh clone of this repository; exit code 3 below a bound."""
    from lab.bench import measure
    from lab.figures import show_figures

    figures = measure(find_design(design), only.split(",") if only else None, rounds)
    show_figures(figures, as_json=as_json, as_markdown=as_markdown)
    _hold(figures)


def settings_for(preset: str | None) -> Settings:
    """Settings from the environment, with the preset of the command line where it names one."""
    try:
        return Settings.model_validate({"preset": preset}) if preset else Settings()
    except ValueError as exc:
        raise UsageError(
            f"the environment is not valid: {exc}", hint="look at the variables that begin with LAB_"
        ) from exc


def _print_welcome(design: Design, url: str) -> None:
    lab = lab_command()
    question = json.dumps({item.field: item.default for item in design.ask.arguments if item.default != []})
    out.print(f"\n[bold]{design.title}[/] is up at {url}")
    out.print("  in the browser   " + url)
    out.print(f"  with curl        curl -s {url}{design.ask.path} -H 'content-type: application/json' -d '{question}'")
    out.print(f"  on the terminal  {lab} ask {design.name} --user 7")
    out.print(f"  break something  {lab} fault {design.name} feature_store down")
    out.print(f"  under load       {lab} load {design.name}")
    out.print("Ctrl-C stops it.")
    sys.stdout.flush()


def _hold(figures: Any) -> None:
    broken = [figure.id for figure in figures if figure.met is False]
    if broken:
        raise BudgetBroken(f"below the bound: {', '.join(broken)}")


def _quiet_libraries() -> None:
    logging.getLogger("feast").setLevel(logging.WARNING)
