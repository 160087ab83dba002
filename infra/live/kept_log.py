"""Step `live` of a build: keep the files of the cut, read them, and record the time up to which the build has data.

The step links the worker's files if the file system supports hard links, and copies them otherwise. A missing or
damaged file ends the build.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from infra.build.runner import Facts, StepContext
from infra.errors import LabError
from infra.live.live_log import LiveLog, files_of_cut, live_root
from infra.stream.sink import files_of

CUT_FILE = "live.json"


def keep_cut(log: LiveLog, context: StepContext) -> None:
    """Link the files of `context.cut` into `context.out`. Raises `LabError` if a file no longer exists."""
    files = files_of_cut(context.cut)
    for index, file in enumerate(files):
        _link(live_root(log, context.settings) / file, context.out / file)
        context.report((index + 1) / len(files), f"{index + 1:,} of {len(files):,} files")


@contextmanager
def log_errors() -> Iterator[None]:
    """Convert the errors of a damaged file of the live log to a `LabError`."""
    try:
        yield
    except (pa.ArrowException, OSError) as exc:
        raise LabError(f"the live log cannot be read: {exc}", hint="move that file away and build again") from exc


def write_cut(out: Path, facts: Facts, history_end_ts: float, *times: npt.NDArray[np.float64]) -> None:
    """Write `live.json`: `facts` and `until`, the time up to which the build has data, in seconds since the epoch.

    `until` is the end of the generated history or the first whole second after the newest of `times` (float64[n],
    seconds since the epoch), whichever is later. Features as of time t do not include an event at t.
    """
    later = [float(np.floor(some.max())) + 1 for some in times if len(some)]
    until = max([history_end_ts, *later])
    (out / CUT_FILE).write_text(json.dumps({**facts, "until": until}, indent=2))


def read_until(live: Path) -> float:
    """The time up to which a build has data, in seconds since the epoch, as the step `live` recorded it."""
    facts: Mapping[str, float] = json.loads((live / CUT_FILE).read_text())
    return float(facts["until"])


def read_folder(folder: Path) -> pa.Table | None:
    """All rows of a folder of the log, or None if the folder has no file."""
    files = sorted(map(str, folder.rglob("*.parquet")))
    return ds.dataset(files, format="parquet").to_table().combine_chunks() if files else None


def end_of_log(log: LiveLog, live: Path) -> float:
    """The time of the newest event in the log, in seconds since the epoch; 0 for an empty log.

    A stopped world resumes after this time. Otherwise the log would cover the same minute twice, and would mix
    predictions of the first run with reactions of the second.
    """
    ends = [0.0]
    for folder, column in log.times.items():
        for file in files_of(live / folder)[-1:]:
            newest = pc.max(pq.read_table(file, columns=[column], partitioning=None)[column]).as_py()
            ends.append(newest.timestamp() if hasattr(newest, "timestamp") else float(newest))
    return max(ends)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise LabError(f"{source} existed when the build began and no longer exists", hint="build again") from None
    except OSError:  # another disk, or one without links
        shutil.copy2(source, target)
