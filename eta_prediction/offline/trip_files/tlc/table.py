"""Opens Parquet files of taxi trips and reads their times and zones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra.build.real_files import size_of
from infra.errors import LabError, UsageError

COLUMNS = {
    "pickup": ("tpep_pickup_datetime", "lpep_pickup_datetime", "pickup_datetime"),
    "dropoff": ("tpep_dropoff_datetime", "lpep_dropoff_datetime", "dropoff_datetime"),
    "from": ("PULocationID",),
    "to": ("DOLocationID",),
}


def find_columns(path: Path) -> dict[str, str]:
    """Role -> name of the column in the file. Raises `UsageError` if the file is no Parquet file with these columns."""
    size_of(path)
    with _errors_of(path):
        columns = pq.read_schema(path).names
    there = {name.lower(): name for name in columns}
    names = {role: next((there[n.lower()] for n in known if n.lower() in there), "") for role, known in COLUMNS.items()}
    for role, name in names.items():
        if not name:
            raise UsageError(
                f"{path} has no column {COLUMNS[role][0]}", hint=f"columns of the file: {', '.join(columns[:40])}"
            )
    return names


def read_table(path: Path) -> pa.Table:
    """The columns pickup, dropoff, from and to, with times as timestamps and zones as float64."""
    names = find_columns(path)
    with _errors_of(path):
        table = pq.ParquetFile(path).read(columns=list(names.values()))
        columns = {role: table[name] for role, name in names.items()}
        for role, column in columns.items():
            if role in ("from", "to"):
                columns[role] = column.cast(pa.float64())
            elif not pa.types.is_timestamp(column.type):
                columns[role] = column.cast(pa.timestamp("us"))
        return pa.table(columns)


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise UsageError(
            f"{path} is not a Parquet file of trips: {str(exc)[:120]}",
            hint="tlc:FILE takes Parquet files; a CSV is read by csv:FILE",
        ) from None
    except OSError as exc:
        raise LabError(f"{path} is damaged: {str(exc)[:120]}", hint="download the file again") from None
