"""Opens plain and gzipped files, and reads named columns of a CSV as text.

Each row is either returned or counted in the tally with a reason.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from eta_prediction.domain import Ints
from eta_prediction.offline.trip_files.tally import Tally
from infra.build.real_files import size_of
from infra.build.trip_files import TripFiles
from infra.errors import LabError, UsageError
from infra.progress import Progress

TAXI = {
    "pickup_time": ("pickup_datetime",),
    "duration": ("trip_duration",),
    "from_lon": ("pickup_longitude",),
    "from_lat": ("pickup_latitude",),
    "to_lon": ("dropoff_longitude",),
    "to_lat": ("dropoff_latitude",),
}
"""role -> names of the column, in the taxi format"""
BLOCK = 1 << 22
LONGEST_HEADER = 1 << 20
GZIP = b"\x1f\x8b"
OTHER_PACKED = {
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PAR1": "Parquet",
    b"\x89PNG": "PNG",
    b"\x89HDF": "HDF5",
}


@contextmanager
def opened(path: Path) -> Iterator[tuple[IO[bytes] | gzip.GzipFile, IO[bytes]]]:
    """(content, raw file) of a plain or gzipped file; the position in the raw file measures progress.

    Raises `UsageError` for a missing file or an unsupported format, `LabError` for a truncated or damaged one.
    """
    size_of(path)
    try:
        with path.open("rb") as raw:
            start = raw.read(8)
            raw.seek(0)
            for magic, name in OTHER_PACKED.items():
                if start.startswith(magic):
                    hint = (
                        "tlc:FILE takes Parquet files" if name == "Parquet" else "only plain text and gzip can be read"
                    )
                    raise UsageError(f"{path} is a {name} file", hint=hint)
            if start.startswith(GZIP):
                with gzip.open(raw) as content:
                    yield content, raw
            else:
                yield raw, raw
    except EOFError:
        raise LabError(
            f"{path} ends in the middle of its gzip stream", hint="the file is incomplete; download it again"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as exc:
        raise LabError(f"{path} is damaged: {exc}", hint="download the file again") from None
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror or exc}") from None


@dataclass(frozen=True)
class Columns:
    """Text columns of a CSV by role, each an Arrow column of strings, and the line number int64[n] of each row."""

    values: dict[str, pa.ChunkedArray]
    line: Ints
    names: dict[str, str]
    """role -> name of the column in the file"""


def read_columns(path: Path, wanted: Mapping[str, Sequence[str]], tally: Tally, report: Progress) -> Columns:
    """Read the columns `wanted` (role -> accepted names) of all rows that have the header's number of fields.

    Raises `UsageError` if the file is no CSV with these columns.
    """
    header, delimiter, names = find_columns(path, wanted)
    ragged: list[tuple[int, int]] = []

    def skip(row: Any) -> str:
        ragged.append((row.number or 0, row.text.count("\n") + 1))
        return "skip"

    places = [f"{at}" for at in range(len(header))]
    size, parts = max(path.stat().st_size, 1), list[pa.RecordBatch]()
    with opened(path) as (content, raw), _no_csv(path):
        reader = arrow_csv.open_csv(
            content,
            # every byte is a letter of Latin-1, so that text in another encoding spoils its own row only
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=BLOCK, encoding="latin-1", skip_rows=1, column_names=places
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, invalid_row_handler=skip, ignore_empty_lines=False
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=[places[header.index(name)] for name in names.values()],
                column_types=dict.fromkeys(places, pa.string()),
                strings_can_be_null=False,
            ),
        )
        rows = 0
        for batch in reader:
            parts.append(batch)
            rows += batch.num_rows
            report(min(raw.tell() / size, 1.0), f"{rows:,} rows")
    table = pa.Table.from_batches(parts, schema=reader.schema)
    tally.lines += rows + sum(count for _, count in ragged)
    line = np.arange(2, 2 + rows + len(ragged))
    line = line[~np.isin(line, [number for number, _ in ragged])][:rows]
    for number, count in ragged:
        reason = f"not {len(header)} fields" if count == 1 else "after a quote that is not closed in its row"
        tally.refuse(reason, [number], count)
    values = {role: pc.utf8_trim_whitespace(table[places[header.index(name)]]) for role, name in names.items()}
    return Columns(values, line, names)


def find_columns(path: Path, wanted: Mapping[str, Sequence[str]]) -> tuple[list[str], str, dict[str, str]]:
    """(header, delimiter, role -> name in the header), by the first line.

    Raises `UsageError` if it is no header with these columns.
    """
    with opened(path) as (content, _):
        first, is_alone = content.readline(LONGEST_HEADER), not content.read(1)
    header, delimiter = _parsed_header(path, first)
    names = {role: _find(path, header, accepted) for role, accepted in wanted.items()}
    if is_alone:
        raise UsageError(f"{path} has no rows", hint="the file has a header only")
    return header, delimiter, names


def wanted_columns(source: TripFiles) -> Mapping[str, Sequence[str]]:
    """Role -> accepted names of the column, for the taxi format and for a CSV with columns named by options."""
    return TAXI if source.format == "taxi" else {role: (name,) for role, name in source.columns}


def _parsed_header(path: Path, first: bytes) -> tuple[list[str], str]:
    """Column names of the first line, and the delimiter. Names are as in the file."""
    if b"\x00" in first:
        raise UsageError(
            f"the first line of {path} is not text", hint="the file is binary or in UTF-16; a CSV in UTF-8 is needed"
        )
    try:
        text = first.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        text = first.decode("latin-1").rstrip("\r\n")
    delimiter = max(",\t;|", key=text.count)
    try:
        names = next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error:  # a name longer than 128 KB
        names = []
    if len(names) < 2:
        raise UsageError(f"the first line of {path} is no header of a CSV", hint=f"the file begins with {text[:80]!r}")
    return names, delimiter


def _find(path: Path, header: Sequence[str], accepted: Sequence[str]) -> str:
    """The column of the header with one of the accepted names; the case does not count if only one column fits."""
    for name in accepted:
        exact = [column for column in header if column == name]
        near = exact or [column for column in header if column.strip().lower() == name.lower()]
        if len(near) > 1:
            raise UsageError(f"{path} has two columns {name!r}")
        if near:
            return near[0]
    shown = ", ".join(header[:40]) + (" …" if len(header) > 40 else "")
    raise UsageError(f"{path} has no column {accepted[0]!r}", hint=f"columns in the first line: {shown}")


@contextmanager
def _no_csv(path: Path) -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid as exc:
        if "straddl" in str(exc):
            raise UsageError(
                f"{path} has a row longer than {BLOCK >> 20} MB, or a quote that is not closed",
                hint="remove the row, or check that fields and lines end as in a CSV",
            ) from None
        raise UsageError(f"{path} cannot be read as a CSV: {str(exc)[:160]}") from None
