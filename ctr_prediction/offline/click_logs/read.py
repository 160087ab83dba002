"""Rows of a log as columns: numbers as float64 with NaN for a blank, words as int32 codes with 0 for a blank.

A line that does not fit the layout is rejected with its number. The build continues without it, up to a limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ctr_prediction.offline.click_logs.kinds import Field, Layout, instant
from ctr_prediction.offline.click_logs.lines import Block, Tally, blocks
from infra.errors import LabError
from infra.progress import Progress

MOST_BAD = 0.1
"""maximum share of rejected lines; above it the file has another format"""
FEWEST = 20
BLANK, BEYOND = 0, 1
"""codes of a blank, and of all words after the first `MOST_WORDS` of a column"""
MOST_WORDS = 4_000_000


@dataclass(frozen=True)
class Column:
    """`values` float64[n], or int32[n] for a category, whose `words` have codes from 2 on, in order of occurrence."""

    field: Field
    values: npt.NDArray[Any]
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Log:
    """The columns of a log. `clicked` float32[n]; `line` int64[n] is the line number of each row."""

    clicked: npt.NDArray[np.float32]
    line: npt.NDArray[np.int64]
    columns: tuple[Column, ...]

    def __len__(self) -> int:
        return len(self.clicked)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.field.name == name)


class Words(dict[str, int]):
    """Word -> code; a lookup of an unknown word assigns the next code."""

    def __init__(self, blanks: Sequence[str]) -> None:
        super().__init__(dict.fromkeys(blanks, BLANK))
        self.known: list[str] = []

    def __missing__(self, word: str) -> int:
        if len(self.known) >= MOST_WORDS:
            return BEYOND
        self.known.append(word)
        code = self[word] = len(self.known) + BEYOND
        return code


Bad = Mapping[int, str]
"""index of a row in its block -> reason for its rejection"""


def read_log(
    path: Path, layout: Layout, report: Progress = lambda share, text: None, tally: Tally | None = None
) -> tuple[Log, Tally]:
    """All rows that fit the layout. Raises `LabError` if too few remain, `UsageError` as `lines.blocks` does."""
    tally = tally or Tally()
    words = {place: Words(layout.blanks) for place, field in layout.fields if field.kind == "category"}
    parts: list[dict[int, npt.NDArray[Any]]] = []
    lines: list[npt.NDArray[np.int64]] = []
    for block in blocks(path, tally, report, skip=layout.header):
        part, kept = _columns(block, layout, words, tally)
        if len(kept):
            parts.append(part)
            lines.append(kept)
            tally.good += len(kept)
    _check(path, tally)
    columns = tuple(
        Column(field, np.concatenate([part[place] for part in parts]), tuple(words[place].known))
        if place in words
        else Column(field, np.concatenate([part[place] for part in parts]))
        for place, field in layout.fields
    )
    clicked = np.concatenate([part[layout.label] for part in parts])
    return Log(clicked, np.concatenate(lines), columns), tally


def _columns(
    block: Block, layout: Layout, words: Mapping[int, Words], tally: Tally
) -> tuple[dict[int, npt.NDArray[Any]], npt.NDArray[np.int64]]:
    """Arrays by column index, and the line number of each row."""
    rows, numbers = [], []
    for number, line in zip(block.numbers, block.lines, strict=True):
        cells = layout.cells(line)
        if cells is None:
            tally.refuse("a quote is left open", number)
        elif len(cells) != layout.width:
            tally.refuse(f"not {layout.width} fields" if line else "an empty line", number)
        else:
            rows.append(cells)
            numbers.append(number)
    if not rows:
        return {}, np.empty(0, np.int64)
    cells_of = list(zip(*rows, strict=True))
    found: dict[int, npt.NDArray[Any]] = {}
    bad: dict[int, str] = {}
    found[layout.label], reasons = _labels(cells_of[layout.label], layout)
    bad.update(reasons)
    for place, field in layout.fields:
        if field.kind == "category":
            continue
        found[place], reasons = numbers_of(cells_of[place], field, layout)
        bad = {**reasons, **bad}
    good = np.ones(len(rows), bool)
    good[list(bad)] = False
    for at, reason in bad.items():
        tally.refuse(reason, numbers[at])
    found = {place: values[good] for place, values in found.items()}
    for place, known in words.items():
        fitting = compress(cells_of[place], good) if bad else cells_of[place]
        found[place] = np.array([known[cell] for cell in fitting], np.int32)
    return found, np.asarray(numbers, np.int64)[good]


def _labels(cells: Sequence[str], layout: Layout) -> tuple[npt.NDArray[np.float32], Bad]:
    known = layout.clicks
    values = np.array([known.get(cell, np.nan) for cell in cells], np.float32)
    reason = f"label is none of {', '.join(known)}" if len(known) > 2 else f"label is not {' or '.join(known)}"
    return values, {int(at): reason for at in np.flatnonzero(np.isnan(values))}


def numbers_of(cells: Sequence[str], field: Field, layout: Layout) -> tuple[npt.NDArray[np.float64], Bad]:
    """float64[n], and the reasons for cells that are no numbers. Converts the whole column at once, and cell by cell
    only if that fails."""
    blanks = layout.blanks
    if field.kind != "time" and "_" not in "".join(cells):  # Python parses 1_000 as a number
        read = int if field.kind == "integer" else float
        try:
            values = np.array([math.nan if cell in blanks else read(cell) for cell in cells], np.float64)
        except (ValueError, OverflowError):
            pass
        else:
            if not np.isinf(values).any() and not field.required:
                return values, {}
    bad: dict[int, str] = {}
    values = np.full(len(cells), np.nan)
    for at, cell in enumerate(cells):
        if cell in blanks:
            if field.required:
                bad[at] = f"{field.name} is blank"
        elif isinstance(value := number_of(cell, field), str):
            bad[at] = value
        else:
            values[at] = value
    return values, bad


def number_of(cell: str, field: Field) -> float | str:
    """A finite number, or the reason why the cell is none."""
    if field.kind == "time":
        found = instant(cell, field.form)
        return f"{field.name} is no time" if found is None else found
    try:
        if "_" in cell:
            raise ValueError
        value = float(int(cell)) if field.kind == "integer" else float(cell)
    except ValueError:
        return f"{field.name} is no {'whole number' if field.kind == 'integer' else 'number'}"
    except OverflowError:
        value = math.inf
    return value if math.isfinite(value) else f"{field.name} is not finite"


def _check(path: Path, tally: Tally) -> None:
    reasons = [f"{reason}: {found.count:,}, first in line {found.first[0]}" for reason, found in tally.by_count()[:3]]
    hint = "; ".join(reasons) or "the file has only a header"
    if not tally.lines:
        raise LabError(f"{path} has no rows", hint=hint)
    if tally.bad > MOST_BAD * tally.lines:
        raise LabError(f"{tally.bad:,} of {tally.lines:,} lines of {path} are malformed", hint=hint)
    if tally.good < FEWEST:
        raise LabError(f"{path} has {tally.good} usable rows; at least {FEWEST} are needed", hint=hint)
