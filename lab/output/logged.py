"""Builds a design from a log that the user provides, and prints the rows read, the rows rejected and the figures."""

from __future__ import annotations

from typing import Any

from infra.build.click_log import Builder, ClickLog, LogBuild
from infra.design import Design, resolve
from infra.errors import UsageError
from infra.settings import Settings
from lab.output.console import err, print_json
from lab.output.figures import show_figures
from lab.sweeps.open import progress


def build_log(design: Design, settings: Settings, source: ClickLog) -> LogBuild:
    """Build from the log. Raises `UsageError` if the design does not learn from real logs."""
    if not design.real_logs:
        raise UsageError(
            f"{design.name} cannot train on a click log", hint="use ctr_prediction: lab build ctr_prediction --data …"
        )
    builder: Builder = resolve(design.real_logs)
    with progress(f"training on {source.path.name}") as report:
        return builder(source, settings, report)


def show_log(built: LogBuild, *, as_json: bool, quiet: bool) -> None:
    """Print the figures on standard output, the rest on standard error."""
    if as_json:
        print_json({**built.facts, "figures": [figure.row() for figure in built.figures], "place": str(built.place)})
        return
    if not quiet:
        for line in described(built.facts):
            err.print(line, markup=False, soft_wrap=True)
    show_figures(built.figures, as_json=False, as_markdown=False)
    if not quiet:
        err.print(f"{'up to date: ' if built.found else ''}{built.place}", markup=False, soft_wrap=True)


def described(facts: dict[str, Any]) -> list[str]:
    """Describe the rows read, the malformed rows and the training, in lines for the terminal."""
    read, rows = facts["read"], facts["rows"]
    lines = [f"{read['lines']:,} lines: {read['good']:,} rows, {read['malformed']:,} malformed"]
    for reason, found in read["reasons"].items():
        numbers = ", ".join(f"{number:,}" for number in found["first_lines"])
        more = " …" if found["count"] > len(found["first_lines"]) else ""
        lines.append(f"  malformed, {reason}: {found['count']:,} (line {numbers}{more})")
    lines += [f"  {note}" for note in facts["notes"]]
    epochs = f"{facts['epochs']} epoch{'s' if facts['epochs'] > 1 else ''}"
    lines.append(f"trained on {rows['train']:,} rows for {epochs}, tested on the last {rows['test']:,}")
    return lines
