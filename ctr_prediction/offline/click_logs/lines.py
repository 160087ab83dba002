"""Reads the numbered lines of a plain or gzipped log in blocks, and tallies the rejected lines.

Each line is either returned or rejected with a reason, and the tally counts both.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from infra.build.real_files import size_of
from infra.errors import LabError, UsageError
from infra.progress import Progress

BLOCK = 1 << 22
"""bytes per block; bounds the memory of reading beside the result"""
LONGEST = 1 << 20
"""maximum bytes per line; longer lines are rejected"""
SHOWN = 5
"""number of line numbers to keep per reason"""
GZIP = b"\x1f\x8b"
OTHER_PACKED = {
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PAR1": "Parquet",
}


@dataclass
class Refused:
    """The lines rejected for one reason: their count, and the numbers of the first ones, from 1."""

    count: int = 0
    first: list[int] = field(default_factory=list)


@dataclass
class Tally:
    """Counts of lines. Between two blocks, `lines` = `good` + rejected lines. The header does not count."""

    lines: int = 0
    good: int = 0
    refused: dict[str, Refused] = field(default_factory=dict)

    def refuse(self, reason: str, number: int) -> None:
        found = self.refused.setdefault(reason, Refused())
        found.count += 1
        found.first = sorted([*found.first, number])[:SHOWN]

    @property
    def bad(self) -> int:
        return sum(found.count for found in self.refused.values())

    def rows(self) -> dict[str, Any]:
        """The tally as JSON values."""
        reasons = {reason: {"count": found.count, "first_lines": found.first} for reason, found in self.by_count()}
        return {"lines": self.lines, "good": self.good, "malformed": self.bad, "reasons": reasons}

    def by_count(self) -> list[tuple[str, Refused]]:
        """The reasons with their rejected lines, most frequent first."""
        return sorted(self.refused.items(), key=lambda item: (-item[1].count, item[0]))


@dataclass(frozen=True)
class Block:
    """Lines without line ends; `numbers` are their numbers in the file, from 1."""

    numbers: list[int]
    lines: list[str]


def blocks(path: Path, tally: Tally, report: Progress = lambda share, text: None, *, skip: int = 0) -> Iterator[Block]:
    """All lines after the first `skip`, in order. Those that are no text, or too long, go to the tally.

    Raises `UsageError` for a missing file or an unsupported format, `LabError` for a truncated file.
    """
    number, size = 0, max(size_of(path), 1)
    with path.open("rb") as raw:
        for pieces in _pieces(_unpacked(raw, path), path):
            block = Block([], [])
            for piece, whole in pieces:
                number += 1
                if number > skip:
                    tally.lines += 1
                    _take(block, tally, number, piece, whole)
            report(min(raw.tell() / size, 1.0), f"{number:,} lines")
            yield block


def _unpacked(raw: IO[bytes], path: Path) -> IO[bytes] | gzip.GzipFile:
    start = raw.read(8)
    raw.seek(0)
    if start.startswith(GZIP):
        return gzip.open(raw)
    for magic, name in OTHER_PACKED.items():
        if start.startswith(magic):
            raise UsageError(
                f"{path} is a {name} file", hint="unpack the file first; only plain text and gzip can be read"
            )
    return raw


def _pieces(source: IO[bytes] | gzip.GzipFile, path: Path) -> Iterator[list[tuple[bytes, bool]]]:
    """Lists of (line, is it complete). Only a part of a line longer than `LONGEST` is kept."""
    rest, cut = b"", False
    while chunk := _read(source, path):
        *ended, rest = (rest + chunk).split(b"\n")
        found = [(line, len(line) <= LONGEST) for line in ended]
        if found and cut:
            found[0], cut = (found[0][0][:LONGEST], False), False
        if len(rest) > LONGEST:
            rest, cut = b"", True
        if found:
            yield found
    if rest or cut:
        yield [(rest, not cut)]


def _read(source: IO[bytes] | gzip.GzipFile, path: Path) -> bytes:
    try:
        return source.read(BLOCK)
    except EOFError:
        raise LabError(
            f"{path} ends in the middle of its gzip stream", hint="the file is incomplete; download it again"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as exc:
        raise LabError(f"{path} is damaged: {exc}", hint="download the file again") from None
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror or exc}") from None


def _take(block: Block, tally: Tally, number: int, piece: bytes, whole: bool) -> None:
    if not whole:
        tally.refuse(f"longer than {LONGEST:,} bytes", number)
        return
    try:
        line = piece.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        tally.refuse("not UTF-8", number)
        return
    block.numbers.append(number)
    block.lines.append(line.removesuffix("\r"))
