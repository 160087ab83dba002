"""Commands that use a running service: ask, fault, load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.errors import BudgetBroken, UsageError
from infra.files import disk_errors
from lab.commands.options import (
    ELSEWHERE,
    DesignName,
    Json,
    LoadUsers,
    Preset,
    Url,
    enforce_judgements,
    settings_for,
)
from lab.designs import find_design
from lab.output.console import err, print_json, print_table


def ask(
    context: typer.Context,
    design: DesignName,
    preset: Preset = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Send one request to a running design and show response and trace, e.g. `lab ask feed_ranking --user 7 --k 10`."""
    from lab.output.asking import request_body, show_answer, write_picture
    from lab.services.client import call, service_url

    found, settings = find_design(design), settings_for(preset)
    body = request_body(found, context.args)
    base = url or service_url(found, settings)
    answer = call("POST", f"{base}{found.ask.path}?explain=true", json=body)
    if as_json:
        print_json(answer)
    else:
        show_answer(found, answer)
        if found.ask.picture:
            page = settings.root / "ask" / f"{found.name}.html"
            write_picture(page, found, call("POST", f"{base}{found.ask.picture}", json=body))


def fault(
    design: DesignName,
    port: Annotated[str | None, typer.Argument(help="port of the fault, e.g. feature_store")] = None,
    name: Annotated[str | None, typer.Argument(help="fault to inject, e.g. down; clear removes it")] = None,
    delay_s: Annotated[float, typer.Option(help="delay of a fault that slows a port down, in seconds")] = 0.1,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Inject a fault into every replica of a running design, or clear it; without a port, list the faults.

    If the replicas differ in a fault, the list names them.
    """
    from lab.output.replicas import merge_rows
    from lab.services.client import call_each, find_replicas

    if port is not None and name is None:
        raise UsageError("the name of the fault is missing", hint=f"run: lab fault {design} {port} down")
    replicas = find_replicas(find_design(design), settings_for(preset))
    urls = replicas.values()
    if port is None:
        found = call_each("GET", urls, "/v1/faults")
    elif name == "clear":
        found = call_each("DELETE", urls, f"/v1/faults/{port}")
    else:
        found = call_each("PUT", urls, f"/v1/faults/{port}", json={"fault": name, "delay_s": delay_s})
    rows = merge_rows(dict(zip(replicas, found, strict=True)), ("port", "fault"))
    if as_json:
        print_json(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


def load(
    design: DesignName,
    preset: Preset = None,
    users: LoadUsers = None,
    seconds: Annotated[int, typer.Option(min=1, max=3600)] = 40,
    overload: Annotated[
        bool, typer.Option("--overload", help="send more requests than the service can answer, and show the shed ones")
    ] = False,
    directory: Annotated[Path | None, typer.Option("--out", help="directory of the reports")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Put load on a running design and judge it by the budgets that the design declares.

    A share is broken when its whole 95% interval lies beyond the limit. Exit code 3 when a budget is broken, 5 when the
    run is inconclusive: too few requests, or a broken budget while other programs used the machine. With --overload the
    budgets are not judged; exit code 3 then means wrong answers.
    """
    from lab.load.loading import OVERLOAD, run_load
    from lab.load.verdict import Overload, judge
    from lab.output.loaded import overload_json, show_overload, show_verdict, verdict_json
    from lab.services.client import service_url

    found, settings = find_design(design), settings_for(preset)
    base = url or service_url(found, settings)
    directory = directory or settings.root / "load" / found.name
    users = users or found.load_users * (OVERLOAD if overload else 1)
    with disk_errors(directory, elsewhere=ELSEWHERE), err.status(f"{users} users for {seconds} s on {base}"):
        run = run_load(found, settings, base, users=users, seconds=seconds, out=directory)
    report = directory / "report.html"
    if overload:
        seen = Overload.of(run.figures)
        if as_json:
            print_json(overload_json(run, seen))
        else:
            show_overload(run, seen, report)
        if seen.wrong:
            raise BudgetBroken(f"{seen.wrong} wrong answers; under overload a service may only shed requests")
        return
    rows = judge(run.figures, run.budgets, run.conditions)
    if as_json:
        print_json(verdict_json(run, rows))
    else:
        show_verdict(run, rows, report)
    enforce_judgements({row.budget: row.judgement for row in rows}, run.conditions.disturbances)
