"""Commands that use a running service: ask, fault, load."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.errors import BudgetBroken, UsageError
from lab.commands.options import DesignName, Json, Preset, Url, settings_for
from lab.designs import find_design
from lab.output.console import err, print_json, print_table


def ask(
    context: typer.Context,
    design: DesignName,
    preset: Preset = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Send one request to a running design and show answer and trace, e.g. `lab ask feed_ranking --user 7 --k 10`."""
    from lab.output.asking import request_body, show_answer
    from lab.services.client import call, service_url

    found = find_design(design)
    body = request_body(found, context.args)
    base = url or service_url(found, settings_for(preset))
    answer = call("POST", f"{base}{found.ask.path}?explain=true", json=body)
    if as_json:
        print_json(answer)
    else:
        show_answer(found, answer)


def fault(
    design: DesignName,
    port: Annotated[str | None, typer.Argument(help="port of the fault, e.g. feature_store")] = None,
    name: Annotated[str | None, typer.Argument(help="fault to inject, e.g. down; clear removes it")] = None,
    delay_s: Annotated[float, typer.Option(help="delay of a fault that slows a port down, in seconds")] = 0.1,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Inject a fault into a running design, or clear it; without a port, list the faults."""
    from lab.services.client import call, service_url

    base = f"{service_url(find_design(design), settings_for(preset))}/v1/faults"
    if port is None:
        rows = call("GET", base)
    elif name is None:
        raise UsageError("name a fault, or clear", hint=f"run: lab fault {design} {port} down")
    elif name == "clear":
        rows = call("DELETE", f"{base}/{port}")
    else:
        rows = call("PUT", f"{base}/{port}", json={"fault": name, "delay_s": delay_s})
    if as_json:
        print_json(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows])


def load(
    design: DesignName,
    preset: Preset = None,
    users: Annotated[int, typer.Option(min=1, max=1000, help="simulated users; each asks five times a second")] = 20,
    seconds: Annotated[int, typer.Option(min=1, max=3600)] = 20,
    directory: Annotated[Path | None, typer.Option("--out", help="where the reports go")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Put load on a running design; exit code 3 when a budget of the design is broken."""
    from lab.load.loading import run_load
    from lab.services.client import service_url

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
