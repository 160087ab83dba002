"""Builds a design from files that the user supplies, and prints the rows read, the rows refused and the figures."""

from __future__ import annotations

from typing import Any

from infra.build.real_files import RealBuild
from infra.design import RealFiles, resolve
from infra.settings import Settings
from lab.output.console import err, out, print_json, print_table
from lab.output.figures import show_figures
from lab.sweeps.open import progress


def run_real_build(files: RealFiles, settings: Settings, source: Any) -> RealBuild:
    """Build from `source`, a value of the class `files.source`."""
    with progress(f"building from {source}") as report:
        built: RealBuild = resolve(files.build)(source, settings, report)
        return built


def show_real_build(built: RealBuild, *, as_json: bool, quiet: bool) -> None:
    """Print the figures on standard output, the rest on standard error."""
    if as_json:
        print_json({**built.facts, "figures": [figure.row() for figure in built.figures], "place": str(built.place)})
        return
    if not quiet:
        for line in described(built.facts):
            err.print(line, markup=False, soft_wrap=True)
    for number, table in enumerate(built.tables):
        if number:
            out.print()
        print_table(table.columns, table.rows)
    if not built.tables:
        show_figures(built.figures, as_json=False, as_markdown=False)
    if not quiet:
        files = ", ".join(sorted(path.name for path in built.place.iterdir()))
        found = "up to date, nothing was built again" if built.found else "results"
        err.print(f"{found}: {built.place} ({files})", markup=False, soft_wrap=True)


def described(facts: dict[str, Any]) -> list[str]:
    """Describe the rows read and the refused rows, then the notes of the build, in lines for the terminal."""
    read = facts["read"]
    what, number = read.get("what", "lines"), read.get("number", "line")
    lines = [f"{read['lines']:,} {what}: {read['good']:,} usable, {read['malformed']:,} refused"]
    for reason, found in read["reasons"].items():
        numbers = ", ".join(f"{first:,}" for first in found["first_lines"])
        more = " …" if found["count"] > len(found["first_lines"]) else ""
        where = f" ({number} {numbers}{more})" if numbers else ""
        lines.append(f"  refused, {reason}: {found['count']:,}{where}")
    return lines + [f"  {note}" for note in facts["notes"]]
