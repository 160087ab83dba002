"""New files of the live log, in the order in which the worker wrote them (`infra.stream.sink`)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

log = logging.getLogger(__name__)
ROWS_AT_ONCE = 256
"""rows of predictions that are in memory at a time: one row may have 100 kB"""
SLACK_NS = 1_000_000_000
"""times of a file system are coarser than those in the names of files"""


@dataclass(frozen=True)
class LogFile:
    path: Path
    written_ns: int


def new_files(folder: Path, after_ns: int, until_ns: int) -> list[LogFile]:
    """Complete files that were written in (`after_ns`, `until_ns`], oldest first.

    Only folders that changed since are listed: a log of days has a file for each second of traffic.
    """
    hours = [one for one in folder.glob("date=*/hour=*") if one.stat().st_mtime_ns > after_ns - SLACK_NS]
    found = [LogFile(path, written_ns(path)) for hour in hours for path in hour.glob("part-*.parquet")]
    return sorted((one for one in found if after_ns < one.written_ns <= until_ns), key=lambda one: one.written_ns)


def written_ns(path: Path) -> int:
    """The time in the name of a file of the log."""
    return int(path.stem.rpartition("-")[2])


def first_window(
    files: Sequence[LogFile], rows: int, seconds: float, fewest: int, now_ns: int, damaged: list[LogFile]
) -> list[LogFile]:
    """The oldest files that make a window: at least `rows` rows, or `fewest` rows written `seconds` or longer ago.

    Empty if the files do not make a window yet. A file that cannot be read has no rows, and is added to `damaged`.
    """
    taken: list[LogFile] = []
    count = 0
    for file in files:
        if taken and file.written_ns - taken[0].written_ns >= seconds * 1e9 and count >= fewest:
            return taken
        with _noting(file, damaged):
            count += pq.read_metadata(file.path).num_rows
        taken.append(file)
        if count >= rows:
            return taken
    is_over = bool(taken) and now_ns - taken[0].written_ns >= seconds * 1e9
    return taken if is_over and count >= fewest else []


def tables_of(files: Sequence[LogFile]) -> Iterator[pa.Table]:
    """The rows of these files, in tables of about `ROWS_AT_ONCE` rows. A damaged file is logged and left out."""
    for _, table in whole_tables(files, []):
        yield table


def columns_of(files: Sequence[LogFile], columns: Sequence[str]) -> Iterator[pa.Table]:
    """These columns of each file. A damaged file is logged and left out."""
    for file in files:
        with _noting(file, []):
            yield pq.read_table(file.path, columns=list(columns), partitioning=None)


def whole_tables(files: Sequence[LogFile], damaged: list[LogFile]) -> Iterator[tuple[list[LogFile], pa.Table]]:
    """Like `tables_of`, each table with its files. A file that cannot be read is left out and added to `damaged`."""
    some: list[LogFile] = []
    parts: list[pa.Table] = []
    for file in files:
        with _noting(file, damaged):
            parts.append(pq.read_table(file.path, partitioning=None))
            some.append(file)
        if sum(map(len, parts)) >= ROWS_AT_ONCE:
            yield some, pa.concat_tables(parts, promote_options="default")
            some, parts = [], []
    if parts:
        yield some, pa.concat_tables(parts, promote_options="default")


@contextmanager
def _noting(file: LogFile, damaged: list[LogFile]) -> Iterator[None]:
    """Note a file that cannot be read. One that the worker has deleted meanwhile is not damaged."""
    try:
        yield
    except FileNotFoundError:
        pass
    except (pa.ArrowException, OSError) as exc:
        log.warning("%s cannot be read and is left out: %s", file.path, exc)
        damaged.append(file)
