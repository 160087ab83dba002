"""The files of a DIMACS map: finds them in a directory and parses their lines of numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from eta_prediction.domain import Bools, Ints
from eta_prediction.offline.trip_files.rows import opened
from eta_prediction.offline.trip_files.tally import Tally
from infra.errors import UsageError
from infra.progress import Progress

BLOCK = 1 << 22
HEAD = re.compile(rb"p (sp|aux sp co) ")


def find_files(directory: Path) -> tuple[Path, dict[str, Path]]:
    """The `.co` file, and the `.gr` files by kind: distance, time or unknown."""
    if not directory.is_dir():
        raise UsageError(f"{directory} is not a directory", hint="dimacs:DIR takes the directory of the files")
    found: dict[str, list[Path]] = {"co": [], "gr": []}
    for path in sorted(directory.iterdir()):
        match = re.search(r"\.(gr|co)(\.gz)?$", path.name, re.IGNORECASE)
        if match and path.is_file():
            found[match[1].lower()].append(path)
    found = {kind: _unpacked_once(paths) for kind, paths in found.items()}
    if len(found["co"]) != 1 or not 1 <= len(found["gr"]) <= 2:
        names = ", ".join(path.name for paths in found.values() for path in paths) or "none of them"
        raise UsageError(
            f"{directory} must hold one .co file, and one or two .gr files of the same map", hint=f"it holds {names}"
        )
    kinds = [kind_of(path.name) for path in found["gr"]]
    if len(kinds) == 2 and set(kinds) != {"distance", "time"}:
        raise UsageError(
            f"{directory} holds two .gr files that are not distances and travel times by their names",
            hint="name them like map-d.gr and map-t.gr, or keep one of them",
        )
    return found["co"][0], dict(zip(kinds, found["gr"], strict=True))


def kind_of(name: str) -> str:
    """distance, time or unknown, by the name of a `.gr` file."""
    if re.search(r"(^|[-_.])d[.-]|dist|length", name, re.IGNORECASE):
        return "distance"
    return "time" if re.search(r"(^|[-_.])t[.-]|time", name, re.IGNORECASE) else "unknown"


def check_head(path: Path, letter: bytes) -> None:
    """Raise `UsageError` if the first block has neither the head of the file nor a line that begins with `letter`."""
    with opened(path) as (content, _):
        lines = content.read(BLOCK).split(b"\n")
    if not any(line[:2] == letter + b" " or HEAD.match(line) for line in lines):
        raise _not_dimacs(path)


def read_numbers(path: Path, letter: bytes, tally: Tally, report: Progress) -> tuple[Ints, Ints]:
    """The three numbers int64[n, 3] of the lines that begin with `letter`, and their line numbers int64[n].

    Comments are skipped; other lines are unusable.
    """
    parts, numbers, declared = [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)], -1
    for first, lines in _lines(path, report):
        rows, at, odd = [], [], []
        for number, line in enumerate(lines, first):
            if line[:1] == letter:
                rows.append(line)
                at.append(number)
            elif HEAD.match(line) and line.split()[-1].isdigit():
                declared = int(line.split()[-1])
            elif line[:1] != b"c" and line.strip():
                odd.append(number)
        tally.lines += len(rows) + len(odd)
        tally.refuse(f"a line of {path.name} of an unknown kind", odd)
        found, good = _parsed(rows)
        tally.refuse(f"a line of {path.name} that is not made of three whole numbers", np.array(at, np.int64)[~good])
        parts.append(found)
        numbers.append(np.array(at, np.int64)[good])
    found = np.concatenate(parts)
    if declared < 0 or not len(found):
        raise _not_dimacs(path)
    lost = max(declared - sum(map(len, parts)), 0)
    tally.refuse(f"a line that the head of {path.name} announces and the file does not have", [], lost)
    tally.lines += lost
    return found, np.concatenate(numbers)


def _parsed(rows: list[bytes]) -> tuple[Ints, Bools]:
    """The numbers int64[kept, 3] after the letter, and the mask bool[rows] of the rows that are kept."""
    good = np.ones(len(rows), bool)
    try:
        found = np.array(b" ".join(row[1:] for row in rows).split(), np.int64)
        widths = {len(row.split()) for row in rows}
        if widths <= {4}:
            return found.reshape(-1, 3), good
    except (ValueError, OverflowError):
        pass
    kept = []
    for at, row in enumerate(rows):
        cells = row[1:].split()
        good[at] = len(cells) == 3 and all(re.fullmatch(rb"[+-]?\d{1,18}", cell) for cell in cells)
        if good[at]:
            kept.append([int(cell) for cell in cells])
    return np.array(kept, np.int64).reshape(-1, 3), good


def _lines(path: Path, report: Progress) -> Iterator[tuple[int, list[bytes]]]:
    """(number of the first line, lines) in blocks."""
    size, rest, number = max(path.stat().st_size, 1), b"", 1
    with opened(path) as (content, raw):
        while chunk := content.read(BLOCK):
            *lines, rest = (rest + chunk).split(b"\n")
            report(min(raw.tell() / size, 1.0), f"reading {path.name}")
            yield number, lines
            number += len(lines)
    yield number, [rest]


def _not_dimacs(path: Path) -> UsageError:
    return UsageError(
        f"{path} is not a file of the 9th DIMACS challenge",
        hint="a .gr file has the line 'p sp NODES ARCS' and lines 'a FROM TO WEIGHT', a .co file 'v NODE X Y'",
    )


def _unpacked_once(paths: list[Path]) -> list[Path]:
    """Without the packed file of which the plain one is there too."""
    names = {path.name for path in paths}
    return [path for path in paths if not (path.suffix == ".gz" and path.name[:-3] in names)]
