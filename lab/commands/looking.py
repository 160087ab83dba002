"""Commands that inspect the machine and the designs: doctor, designs."""

from __future__ import annotations

from typing import Any

import typer

from lab.commands.options import Json, Preset, settings_for
from lab.designs import load_designs
from lab.output.console import print_json, print_table


def designs(preset: Preset = None, as_json: Json = False) -> None:
    """List the designs with their budgets; --json also lists the steps of their builds."""
    settings = settings_for(preset)
    rows: list[dict[str, Any]] = [
        {
            "design": design.name,
            "title": design.title,
            "summary": design.summary,
            "port": design.port,
            "budgets": {budget.name: budget.limit for budget in design.budgets},
            "knobs": len(design.knobs(settings.preset)),
            "steps": [
                {
                    "name": step.name,
                    "title": step.title,
                    "after": step.after,
                    "option": step.option,
                    "trains": step.trains,
                }
                for step in design.steps
            ],
        }
        for design in load_designs()
    ]
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            del row["summary"], row["steps"]
            row["budgets"] = ", ".join(f"{name} {limit:g}" for name, limit in row["budgets"].items())
        print_table(list(rows[0]), [list(row.values()) for row in rows])


def doctor(preset: Preset = None, as_json: Json = False) -> None:
    """Check this machine: Python, packages, disk, ports."""
    from lab.services.doctor import examine

    findings = examine(settings_for(preset))
    if as_json:
        print_json([vars(finding) for finding in findings])
    else:
        rows = [["ok" if item.ok else "FIX", item.check, item.found, item.advice] for item in findings]
        print_table(("", "check", "found", "what to do"), rows)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
