"""Command `quality`: what the data-quality checks of the last build found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.build.fingerprints import CURRENT, step_paths
from infra.build.outcome import REPORT_FOLDER, failed_report
from infra.design import Design
from infra.errors import DataRejected, InputsMissing, UsageError
from infra.settings import Settings
from lab.commands.options import DesignName, Json, Preset, settings_for
from lab.designs import find_design
from lab.output.console import err, print_json, print_table

STEP = "validate"


def quality(
    design: DesignName,
    day: Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="all checks of this day of the log")] = None,
    preset: Preset = None,
    as_json: Json = False,
) -> None:
    """Show the data-quality report of the last build: rows by table, warnings, failures. Exit code 8 for a failure."""
    found, settings = find_design(design), settings_for(preset)
    directory = report_directory(found, settings)
    report = _read(directory, day)
    failures, warnings = _findings(report, "failed"), _findings(report, "warned")
    if as_json:
        print_json(report)
    else:
        if day is None:
            rows = [[table, len(days), sum(days.values())] for table, days in report["rows"].items()]
            print_table(("table", "days", "rows"), rows)
            shown = [*failures, *warnings]
        else:
            shown = report["findings"]
        if shown:
            print_table(("status", "table", "day", "check", "rows", "broken", "first broken row"), [*map(_row, shown)])
        page = directory / (f"days/{day}.html" if day else "index.html")
        err.print(
            f"{report['status']}; failures: {len(failures)}, warnings: {len(warnings)}; page: {page}", soft_wrap=True
        )
    if failures:
        raise DataRejected(f"checks of the log of {design} that failed: {len(failures)}")


def report_directory(design: Design, settings: Settings) -> Path:
    """The folder of the newest report: that of a failed check, else of the present code and log, else of the served
    build.

    Raises `InputsMissing` if there is none.
    """
    root = settings.design_root(design.name)
    newest = step_paths(design, settings)[STEP] / REPORT_FOLDER
    for directory in (failed_report(root), newest, _served(root / CURRENT)):
        if directory is not None and directory.is_dir():
            return directory
    raise InputsMissing(
        f"no build of {design.name} ({settings.preset}) has checked its log", hint=f"run: lab build {design.name}"
    )


def _served(pointer: Path) -> Path | None:
    """The report of the build that is served."""
    try:
        return Path(json.loads(pointer.read_text())[STEP]) / REPORT_FOLDER
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(directory: Path, day: str | None) -> dict[str, Any]:
    path = directory / (f"days/{day}.json" if day else "report.json")
    if not path.is_file():
        days = sorted(file.stem for file in (directory / "days").glob("*.json"))
        raise UsageError(f"the log has no day {day}", hint=f"choose one of: {', '.join(days)}")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _findings(report: dict[str, Any], status: str) -> list[dict[str, Any]]:
    listed = report.get("findings", [*report.get("failures", ()), *report.get("warnings", ())])
    return [finding for finding in listed if finding["status"] == status]


def _row(finding: dict[str, Any]) -> list[Any]:
    samples = finding["samples"]
    first = ", ".join(f"{name}={value}" for name, value in samples[0].items()) if samples else finding["detail"]
    keys = ("status", "table", "day", "rule", "rows", "broken")
    return [*(finding[key] for key in keys), first]
