"""The kinds of a log's columns: fixed for the Criteo format, inferred for a CSV.

The inference reads the first lines of a CSV. A column is numeric or a time if nearly all of its non-blank cells parse
as such, and a category otherwise. A cell that does not fit the kind of its column makes its line malformed.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from ctr_prediction.offline.click_logs.lines import Tally, blocks
from infra.errors import UsageError

Kind = Literal["integer", "number", "time", "category"]
BLANKS = ("", "NA", "N/A", "nan", "NaN", "NULL", "null", "None", "?")
"""cells that mean a missing value"""
INSPECTED = 20_000
NEARLY_ALL = 0.98
"""share of cells that must parse; the lines of the other cells are malformed and counted"""
PLAIN_CLICKS: Mapping[str, float] = MappingProxyType({"0": 0.0, "1": 1.0})
FLOAT_CLICKS: Mapping[str, float] = MappingProxyType({**PLAIN_CLICKS, "0.0": 0.0, "1.0": 1.0})
PAIRS = (("no", "yes"), ("false", "true"), ("n", "y"), ("f", "t"), ("-1", "1"), ("negative", "positive"))
COMPACT = {6: "%y%m%d", 8: "%y%m%d%H", 10: "%Y%m%d%H", 14: "%Y%m%d%H%M%S"}
"""time formats without separators, by length; Avazu writes hours as yymmddhh"""
TIMELY = re.compile(r"time|date|hour|stamp|(^|_)(ts|at|day)(_|$)", re.IGNORECASE)
WORDLIKE = re.compile(r"0\d+|\d{16,}")
"""digits that are a word: with a leading zero, or more digits than a float64 represents"""
SECONDS, MILLISECONDS = (10**9, 4 * 10**9), (10**12, 4 * 10**12)


@dataclass(frozen=True)
class Field:
    """One column. `form` is the format of a time. A row without a value of a `required` field is malformed."""

    name: str
    kind: Kind
    form: str = ""
    required: bool = False


@dataclass(frozen=True)
class Layout:
    """The layout of a line: `width` cells; `label` is the index of the label, `fields` are the other columns by index;
    `clicks` maps a label to 1 for a click; the file starts with `header` lines."""

    delimiter: str
    quoted: bool
    width: int
    label: int
    fields: tuple[tuple[int, Field], ...]
    clicks: Mapping[str, float]
    blanks: tuple[str, ...]
    header: int

    def cells(self, line: str) -> list[str] | None:
        """The cells of a line; None if a quote is not closed, because a cell must not span lines."""
        if not self.quoted:
            return line.split(self.delimiter)
        if '"' not in line:
            return [cell.strip() for cell in line.split(self.delimiter)]
        try:
            rows = list(csv.reader([line], delimiter=self.delimiter, skipinitialspace=True, strict=True))
        except csv.Error:
            return None
        return [cell.strip() for cell in rows[0]] if len(rows) == 1 else None


CRITEO = Layout(
    delimiter="\t",
    quoted=False,
    width=40,
    label=0,
    fields=(
        *((place, Field(f"I{place}", "integer")) for place in range(1, 14)),
        *((place, Field(f"C{place - 13}", "category")) for place in range(14, 40)),
    ),
    clicks=PLAIN_CLICKS,
    blanks=("",),
    header=0,
)


def inspect(path: Path, label: str, time: str | None = None) -> tuple[Layout, list[str]]:
    """The layout of a CSV with a header, and notes about it. Every row must have a value of the column `time`.

    Raises `UsageError` if a column is missing or the label is not binary.
    """
    lines = _first_lines(path)
    delimiter = max(",\t;|", key=lines[0].count)
    plain = Layout(delimiter, True, 0, 0, (), {}, BLANKS, 1)
    names = plain.cells(lines[0]) or []
    for wanted in (label, *([time] if time else [])):
        if wanted not in names:
            shown = ", ".join(names[:40]) + (" …" if len(names) > 40 else "")
            raise UsageError(f"{path} has no column {wanted!r}", hint=f"columns in the first line: {shown}")
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise UsageError(f"{path} has two columns {twice!r}")
    rows = [cells for line in lines[1:] if (cells := plain.cells(line)) and len(cells) == len(names)]
    if not rows:
        raise UsageError(
            f"{path} has no row with {len(names)} fields, the number in its first line",
            hint=f"the file begins with {lines[0][:80]!r}",
        )
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    clicks, note = _clicks(label, [cell for cell in columns[label] if cell not in BLANKS])
    fields = tuple(
        (place, field_of(name, columns[name], required=name == time))
        for place, name in enumerate(names)
        if name != label
    )
    return Layout(delimiter, True, len(names), names.index(label), fields, clicks, BLANKS, 1), note


def field_of(name: str, cells: Sequence[str], *, required: bool = False) -> Field:
    """The kind of a column, by the majority of its cells."""
    found = [cell for cell in cells if cell not in BLANKS]
    if not found:
        return Field(name, "category", required=required)
    most = NEARLY_ALL * len(found)
    timely = required or TIMELY.search(name) is not None
    for form in _forms(found, timely):
        if sum(instant(cell, form) is not None for cell in found) >= most:
            return Field(name, "time", form, required)
    if sum(_is_number(cell) for cell in found) >= most and not any(WORDLIKE.fullmatch(cell) for cell in found):
        return Field(name, "number", required=required)
    return Field(name, "category", required=required)


@lru_cache(maxsize=1 << 16)
def instant(cell: str, form: str) -> float | None:
    """Seconds since 1970 (UTC if the cell has no zone); None if the cell is not a time of this form."""
    try:
        if form == "seconds":
            return float(cell) if SECONDS[0] <= float(cell) < SECONDS[1] else None
        if form == "milliseconds":
            return float(cell) / 1000 if MILLISECONDS[0] <= float(cell) < MILLISECONDS[1] else None
        if form == "iso":
            found = datetime.fromisoformat(cell)
        else:
            if not cell.isascii() or not cell.isdecimal():
                return None
            found = datetime.strptime(cell, form)
    except (ValueError, OverflowError):
        return None
    if not 1990 <= found.year < 2070:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _forms(found: Sequence[str], timely: bool) -> list[str]:
    """Candidate time formats of these cells. Plain digits count as a time only if the column name suggests a time."""
    if not found[0].isdecimal():
        return ["iso"] if "-" in found[0] and not _is_number(found[0]) else (["seconds"] if timely else [])
    if not timely:
        return []
    compact = COMPACT.get(len(found[0]))
    forms = [compact] if compact else []
    if len(found[0]) == 8:
        forms.insert(0, "%Y%m%d")
    return [*forms, "seconds", "milliseconds"]


def _clicks(label: str, found: Sequence[str]) -> tuple[Mapping[str, float], list[str]]:
    """Label -> 1 for a click, else 0; and a note if the mapping is a guess."""
    counts = Counter(found)
    for known in (PLAIN_CLICKS, FLOAT_CLICKS):
        if sum(counts[cell] for cell in known) >= 0.9 * max(len(found), 1) and set(counts) & set(known):
            return known, []
    two = [cell for cell, _ in counts.most_common(2)]
    if len(two) < 2 or sum(counts[cell] for cell in two) < 0.9 * len(found):
        some = ", ".join(cell for cell, _ in counts.most_common(5))
        raise UsageError(
            f"column {label!r} cannot be the label: its first rows have {len(counts)} different values",
            hint=f"a label has two values, such as 0 and 1; this column has {some or 'only blanks'}",
        )
    for negative, positive in PAIRS:
        if {cell.lower() for cell in two} == {negative, positive}:
            click = next(cell for cell in two if cell.lower() == positive)
            break
    else:
        click = two[1]
    other = next(cell for cell in two if cell != click)
    return {other: 0.0, click: 1.0}, [f"{label}: {click!r} counts as a click, {other!r} as no click"]


def _first_lines(path: Path) -> list[str]:
    """The header and the readable lines of the first block."""
    for block in blocks(path, Tally()):
        lines = block.lines[: INSPECTED + 1]
        if not lines or block.numbers[0] != 1 or not lines[0].strip():
            raise UsageError(f"the first line of {path} is not a header", hint="add a first line with the column names")
        return lines
    raise UsageError(f"{path} is empty")


def _is_number(cell: str) -> bool:
    try:
        return "_" not in cell and float(cell) == float(cell)
    except ValueError:
        return False
