"""Builds from files that the user supplies: the interface between the file options of `lab build` and a design.

A design that can train on such files declares `infra.design.RealFiles`. The values that its options become are in
`infra.build.click_log` and `infra.build.trip_files`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.errors import UsageError
from infra.evaluation.figures import Figure


@dataclass(frozen=True)
class Table:
    """A table for the terminal and for reports. Cells are text."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        lines = [self.columns, tuple("---" for _ in self.columns), *self.rows]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)


@dataclass(frozen=True)
class RealBuild:
    """Result of a build from real files.

    The results are in the directory `place`. `facts` describes the build as JSON values; its key `read` counts the
    rows (lines, good, malformed and reasons), and its key `notes` holds sentences for the terminal. `found` is true if
    an earlier build of the same files was reused. `tables` show all figures; without tables, the figures are listed.
    """

    place: Path
    figures: list[Figure]
    facts: dict[str, Any]
    found: bool
    tables: tuple[Table, ...] = ()


def size_of(path: Path) -> int:
    """Size of the file in bytes. Raises `UsageError` if the file is missing, unreadable or empty."""
    try:
        with path.open("rb"):
            size = path.stat().st_size
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror}") from None
    if not size:
        raise UsageError(f"{path} is empty")
    return size
