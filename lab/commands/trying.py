"""Commands that compare settings of knobs, and ways to collect training data: sweep, feedback."""

from __future__ import annotations

import csv
import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.design import Design, resolve
from infra.errors import UsageError
from infra.settings import Settings
from lab.commands.options import DesignName, Json, Preset, settings_for
from lab.designs import find_design
from lab.output.console import err, lab_command, out, print_json, print_table

if TYPE_CHECKING:
    from infra.evaluation.experiment import Sweep
    from infra.evaluation.feedback import Week
    from lab.sweeps.run import Setting


def sweep(
    design: DesignName,
    name: Annotated[str | None, typer.Argument(help="a prepared sweep; without a name and --vary, list them")] = None,
    vary: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE,VALUE,…; repeat the option to measure every combination")
    ] = None,
    fix: Annotated[list[str] | None, typer.Option(help="NAME=VALUE, a fixed knob in all settings")] = None,
    x: Annotated[str | None, typer.Option(help="measure on the chart's horizontal axis")] = None,
    y: Annotated[str | None, typer.Option(help="measure on the chart's vertical axis")] = None,
    requests: Annotated[int | None, typer.Option(min=20, max=5000, help="requests per setting")] = None,
    publish: Annotated[Path | None, typer.Option(help="also write NAME.svg, .csv and .txt to this directory")] = None,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Set knobs to several values and measure the cost and the quality of each setting, with a chart and a sentence."""
    found, settings = find_design(design), settings_for(preset)
    known: dict[str, Sweep] = {item.name: item for item in resolve(found.sweeps)}
    if name is None and not vary:
        rows = [[item.name, item.question, "; ".join(item.vary)] for item in known.values()]
        print_table(("sweep", "question", "varies"), rows)
        err.print(f"run one: {lab_command()} sweep {design} {rows[0][0]}, or vary any knob: --vary NAME=VALUE,VALUE")
        return
    if name is not None and name not in known:
        raise UsageError(f"{design} has no sweep {name!r}", hint=f"choose one of: {', '.join(known)}")
    from infra.evaluation.experiment import Sweep
    from lab.sweeps.run import parse_vary, run_sweep

    logging.getLogger("feast").setLevel(logging.WARNING)
    plan = known[name] if name else Sweep("own", "", {}, fixed=next(iter(known.values())).fixed)
    varied = parse_vary(found, settings, vary or [])
    fixed = {key: values[0] for key, values in parse_vary(found, settings, fix or []).items()}
    plan = replace(
        plan,
        question=plan.question or f"What do {' and '.join(varied)} cost, and what do they gain?",
        vary={**plan.vary, **varied},
        fixed={key: value for key, value in {**plan.fixed, **fixed}.items() if key not in varied},
        x=x or plan.x,
        y=y or plan.y,
        requests=requests or plan.requests,
    )
    results = run_sweep(found, settings, plan)
    _show(found, settings, plan, results, publish, as_json=as_json)


def feedback(
    design: DesignName,
    weeks: Annotated[int, typer.Option(min=1, max=12, help="simulated weeks")] = 3,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Simulate weeks of training on the own log, with and without a randomised bucket and exploration."""
    found, settings = find_design(design), settings_for(preset)
    if not found.feedback:
        raise UsageError(f"{design} has no simulated feedback loop")
    from lab.sweeps.open import progress

    with progress("simulating weeks") as report:
        rows: list[Week] = resolve(found.feedback)(settings, weeks, report)
    if as_json:
        print_json([vars(row) for row in rows])
    else:
        print_table(tuple(vars(rows[0])), [list(_rounded(row).values()) for row in rows])


def _rounded(row: Week) -> dict[str, object]:
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in vars(row).items()}


def _show(
    design: Design,
    settings: Settings,
    plan: Sweep,
    results: Sequence[Setting],
    publish: Path | None,
    *,
    as_json: bool,
) -> None:
    from infra.registry.mlflow_runs import log_sweep
    from lab.sweeps.charts import draw, save
    from lab.sweeps.findings import finding
    from lab.sweeps.run import TIMES

    axes = (*TIMES, *results[0].scores)
    for axis in (plan.x, plan.y):
        if axis not in axes or (axis == plan.y and axis in TIMES):
            raise UsageError(f"there is no measure {axis!r} for this axis", hint=f"choose one of: {', '.join(axes)}")
    sentence = finding(results, plan.x, plan.y)
    directory = settings.root / "sweeps" / design.name / plan.name
    directory.mkdir(parents=True, exist_ok=True)
    rows = [setting.row() for setting in results]
    with (directory / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    (directory / "finding.txt").write_text(sentence + "\n")
    note = f"{plan.requests} requests per setting, preset {settings.preset}."
    save(draw(results, plan.x, plan.y, question=plan.question, finding=sentence, note=note), directory)
    measures = [{key: float(row[key]) for key in row if key not in plan.vary} for row in rows]
    turned = [dict(setting.knobs) for setting in results]
    log_sweep(
        settings,
        f"{design.name}-{settings.preset}-sweeps",
        plan.name,
        list(zip(turned, measures, strict=True)),
        directory,
    )
    if publish is not None:
        publish.mkdir(parents=True, exist_ok=True)
        for source, ending in (("chart.svg", "svg"), ("results.csv", "csv"), ("finding.txt", "txt")):
            shutil.copyfile(directory / source, publish / f"{plan.name}.{ending}")
    if as_json:
        print_json({"finding": sentence, "one_sided": plan.one_sided, "settings": rows, "directory": str(directory)})
        return
    columns = list(dict.fromkeys([*TIMES, plan.x, plan.y, "value_against_default", "log_value_s"]))
    shown = [name for name in columns if name in axes]
    table = [
        [*setting.knobs.values(), *(_cell(setting, name) for name in shown), f"{setting.degraded_share:.0%}"]
        for setting in results
    ]
    print_table([*plan.vary, *shown, "degraded"], table)
    out.print(f"\n{sentence}")
    if plan.one_sided:
        out.print(plan.one_sided, markup=False, soft_wrap=True)
    err.print(f"chart, table and data: {directory}; each setting is a run in MLflow", soft_wrap=True)


def _cell(setting: Setting, name: str) -> object:
    low, high = setting.spread(name)
    value = setting.value(name)
    return f"{value:.3g} ±{(high - low) / 2:.2g}" if low != high else round(value, 2)
