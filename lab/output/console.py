"""Prints to the terminal: data on standard output, everything else on standard error."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from infra.errors import LabError

PIPED_WIDTH = 160
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True, highlight=False)


def lab_command() -> str:
    """Return the command that starts `lab` in this shell: its name if it is on PATH, else its path."""
    own = Path(sys.prefix) / "bin" / "lab"
    found = shutil.which("lab")
    if found is not None and Path(found).resolve() == own.resolve():
        return "lab"
    try:
        return str(own.relative_to(Path.cwd()))
    except ValueError:
        return str(own)


def print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> None:
    """Print a table. Numbers align right, text aligns left. On a narrow terminal the last column wraps first."""
    table = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, name in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        fixed = 0 < index < len(columns) - 1 and all(len(_text(row[index])) <= 24 for row in rows)
        table.add_column(
            name, justify="right" if numeric else "left", header_style="dim", no_wrap=fixed, overflow="fold"
        )
    for row in rows:
        table.add_row(*(_text(value) for value in row))
    out.print(table)


def print_error(exc: LabError) -> None:
    err.print(f"[bold red]error:[/] {_plain(str(exc))}")
    if exc.hint:
        hint = exc.hint.replace("run: lab ", f"run: {lab_command()} ")
        err.print(f"  {_plain(hint)}")


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return _plain("" if value is None else str(value))


def _plain(text: str) -> str:
    return text.replace("[", "\\[")
