"""Commands for failure drills: drills, drill."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import typer

from infra.design import Design, resolve
from infra.errors import BudgetBroken, DependencyError, UsageError
from infra.evaluation.drill import Drill
from lab.commands.options import Json, Preset, Url, enforce_judgements, settings_for
from lab.designs import load_designs
from lab.output.console import err, lab_command, print_json, print_table

INTERRUPTED = 130
"""exit code of a program that was ended by Ctrl-C, by shell convention"""


def drills(as_json: Json = False) -> None:
    """List the failure drills and their hypotheses."""
    known = _known()
    if as_json:
        keys = ("name", "title", "hypothesis")
        print_json([{"design": design.name, **{key: getattr(item, key) for key in keys}} for design, item in known])
        return
    print_table(("drill", "design", "hypothesis"), [[item.name, design.name, item.title] for design, item in known])
    err.print(f"start the lab, then run one: {lab_command()} drill {known[0][1].name}")


def drill(
    name: Annotated[str, typer.Argument(help="name of a drill; `lab drills` lists them")],
    of: Annotated[
        str | None, typer.Option("--design", help="design of the drill, if several have one of that name")
    ] = None,
    setting: Annotated[
        Literal["embedded", "compose"],
        typer.Option(help="embedded: the services of `lab up`; compose: those of `docker compose up`"),
    ] = "embedded",
    preset: Preset = None,
    rate: Annotated[
        float | None, typer.Option(min=1, max=1000, help="requests per second; lower it on a slow or busy machine")
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Inject a fault into a running design under load and compare the response with a hypothesis.

    Exit code 3 when a hypothesis does not hold, 5 when the run is inconclusive: other programs used the machine, or
    there were too few requests.
    """
    from lab.drills.alerts import alerts_during
    from lab.drills.cases import ALL, DrillCases
    from lab.drills.cost import captured_cost
    from lab.drills.faults import ComposedFaults, Faults, SwitchedFaults, composed_pids, composed_url
    from lab.drills.load import Load
    from lab.drills.report import journal, verdict_row, write_report
    from lab.drills.run import run_drill
    from lab.load.loading import service_pids
    from lab.services.client import call, find_replicas, service_url
    from lab.services.ports import monitor_url_of
    from lab.sweeps.open import open_judge, progress

    design, chosen = _find(name, of)
    chosen = replace(chosen, rate_per_s=rate or chosen.rate_per_s)
    settings = settings_for(preset)
    base = url or (service_url(design, settings) if setting == "embedded" else composed_url(design))
    replicas = [url] if url else list(find_replicas(design, settings).values())
    faults: Faults = SwitchedFaults(replicas) if setting == "embedded" else ComposedFaults()
    faults.check(chosen.method)
    served = settings.model_copy(update={"preset": call("GET", f"{base}/v1/design")["preset"]})
    judge = open_judge(design, served)
    cases = DrillCases(judge.cases(ALL), chosen.rate_per_s)

    def question(number: int) -> dict[str, Any]:
        return judge.question(cases.of(number))

    load = Load(base, design.ask.path, design.ask.rows, question, chosen.rate_per_s)
    pids = composed_pids() if setting == "compose" else lambda: service_pids(settings, base)
    with progress(chosen.name) as report:
        run = run_drill(chosen, load, faults, setting, report, pids)
    run.alerts = alerts_during(monitor_url_of(settings), design.name, run.began_ts, run.lasted_s)
    cost = [] if run.aborted else captured_cost(judge, run, cases)
    page = write_report(settings.root / "drills" / f"{design.name}-{chosen.name}-{setting}", run, cost)
    if as_json:
        print_json(journal(run, cost))
    else:
        columns = ("phase", "figure", "value", "interval", "low", "high", "unit", "judgement")
        rows = [verdict_row(verdict) for verdict in run.verdicts]
        if rows:
            print_table(columns, [[row[key] for key in columns] for row in rows])
        for figure in cost:
            err.print(f"{figure.description}: {figure.value:.3f} [{figure.low:.3f} to {figure.high:.3f}]", markup=False)
        err.print(run.conditions.describe(), markup=False, soft_wrap=True)
        err.print(f"report: {page}", soft_wrap=True)
    if run.aborted:
        err.print(f"the drill stopped early: {run.aborted}", markup=False, soft_wrap=True)
        if not run.is_cleared:
            raise DependencyError(
                f"the fault at {chosen.method.port} is not cleared", hint=_how_to_clear(design, chosen, setting)
            )
        err.print("the fault is cleared")
        raise typer.Exit(INTERRUPTED if run.aborted == "interrupted" else BudgetBroken.exit_code)
    judgements = {f"{verdict.probe.figure} ({verdict.phase})": verdict.judgement for verdict in run.verdicts}
    enforce_judgements(judgements, run.conditions.disturbances)


def _how_to_clear(design: Design, chosen: Drill, setting: str) -> str:
    if setting == "compose":
        return f"run: docker compose start {chosen.method.service}"
    return f"run: lab fault {design.name} {chosen.method.port} clear"


def _known() -> list[tuple[Design, Drill]]:
    return [(design, item) for design in load_designs() for item in resolve(design.drills)]


def _find(name: str, of: str | None) -> tuple[Design, Drill]:
    for design, item in _known():
        if item.name == name and of in (None, design.name):
            return design, item
    raise UsageError(
        f"there is no drill {name!r}", hint=f"choose one of: {', '.join(item.name for _, item in _known())}"
    )
