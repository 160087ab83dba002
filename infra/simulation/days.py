"""The generated log on disk: one Parquet file per day, written once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from infra.columns import timestamps


def day_file(directory: Path, begin_ts: float) -> Path:
    """The file of the day (UTC) that begins at `begin_ts` (seconds since the epoch)."""
    return directory / f"date={datetime.fromtimestamp(begin_ts, UTC).date()}" / "part-0.parquet"


def read_day(file: Path, columns: Sequence[str] | None = None) -> pa.Table | None:
    """Read the day's log (by default with all columns). Returns None if no earlier run has written the file."""
    return pq.read_table(file, columns=columns, partitioning=None) if file.exists() else None


def write_day(file: Path, table: pa.Table) -> None:
    """Write the file under a temporary name and rename it, so that a file under its final name is complete."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".partial")
    pq.write_table(table, aside)
    aside.rename(file)


def log_table(columns: Mapping[str, npt.NDArray[Any]], logging_policy: str, random_policy: str) -> pa.Table:
    """Convert the columns of a log to a table.

    A column `…_ts` (seconds since the epoch, NaN for a missing time) becomes a timestamp. `is_random` becomes the
    column `policy` with the policy's name. Any other float64 column becomes float32.
    """
    arrays: dict[str, pa.Array] = {}
    for name, values in columns.items():
        if name.endswith("_ts"):
            arrays[name] = timestamps(values)
        elif name == "is_random":
            arrays["policy"] = pa.array(np.where(values, random_policy, logging_policy)).dictionary_encode()
        elif values.dtype == np.float64:
            arrays[name] = pa.array(values.astype(np.float32))
        else:
            arrays[name] = pa.array(values)
    return pa.table(arrays)
