"""Commands that inspect the machine and the designs: doctor, designs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from infra.design import Design
from infra.settings import Settings
from lab.commands.options import Json, Preset, settings_for
from lab.designs import load_designs
from lab.output.console import print_json, print_table


def designs(preset: Preset = None, as_json: Json = False) -> None:
    """List the designs with their budgets; --json also lists the steps of their builds, and what each one took in the
    newest build: seconds and memory."""
    settings = settings_for(preset)
    rows: list[dict[str, Any]] = [
        {
            "design": design.name,
            "title": design.title,
            "summary": design.summary,
            "port": design.port,
            "budgets": {budget.name: budget.limit for budget in design.budgets},
            "knobs": len(design.knobs(settings.preset)),
            "steps": _steps(design, settings) if as_json else (),
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


def _steps(design: Design, settings: Settings) -> list[dict[str, Any]]:
    """The steps with what an orchestrator needs. `measured` is None for a step that the newest build did not run."""
    from infra.build.fingerprints import step_paths

    paths = step_paths(design, settings)
    return [
        {
            **{name: getattr(step, name) for name in ("name", "title", "after", "option", "trains")},
            "measured": _measured(paths.get(step.name)),
        }
        for step in design.steps
    ]


def _measured(output: Path | None) -> dict[str, float] | None:
    """Seconds and peak memory (MB) of the process that ran the step, as recorded in its output."""
    from infra.build.current import SUMMARY

    try:
        summary = json.loads((output / SUMMARY).read_text()) if output else None
    except OSError:
        summary = None
    return {name: summary[name] for name in ("seconds", "peak_mb")} if summary else None


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
