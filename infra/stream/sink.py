"""Appends events to Parquet, each exactly once, through any kill: the file is the commit.

One batch of one topic becomes one file, written aside and renamed; so a file is complete or not there. It carries the
offsets at which reading goes on after it, and a restart goes on from the newest, whatever the group has committed.
Partitioned by date and hour of the world's clock at writing. What training needs stays; of the rest, only as much as a
disk can spare.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra.stream.consumer import Received

Places = dict[int, int]
OFFSETS = b"lab.offsets"
REMEMBERED_FILES = 50
"""how far back a restart looks for the ids of events that may come again"""
LOOKED_AT = 500
"""and how far for the offsets of each partition"""


@dataclass(frozen=True)
class Table:
    """Where a topic's events go: a folder, how a batch becomes a table, and the column that holds their ids.

    With `keep_bytes`, the oldest files go when there are more of them; the newest `REMEMBERED_FILES` stay in any case.
    """

    folder: str
    rows: Callable[[Sequence[Any]], pa.Table]
    id_column: str
    keep_bytes: float = math.inf


@dataclass
class ParquetSink:
    """An effect. `root` holds one folder per topic; `now` is the world's clock."""

    root: Path
    tables: Mapping[str, Table]
    now: Callable[[], float]
    _epoch: str = ""
    _written: dict[str, Places] = field(default_factory=lambda: defaultdict(dict))
    """topic -> where reading goes on after what was written since `resume`"""

    def resume(self, epoch: str) -> Mapping[tuple[str, int], int]:
        """Where the newest files of this epoch end."""
        self._epoch, self._written = epoch, defaultdict(dict)
        return {
            (topic, number): at
            for topic, table in self.tables.items()
            for number, at in next_offsets(self.root / table.folder, epoch).items()
        }

    def known(self) -> Iterator[str]:
        for topic, table in self.tables.items():
            for file in files_of(self.root / table.folder)[-REMEMBERED_FILES:]:
                for value in pq.read_table(file, columns=[table.id_column], partitioning=None)[table.id_column]:
                    yield f"{topic}/{value.as_py()}"

    def apply(self, batch: Sequence[Received]) -> None:
        """Write one file for each topic of the batch."""
        by_topic: dict[str, list[Received]] = defaultdict(list)
        for received in batch:
            by_topic[received.topic].append(received)
        for topic, some in by_topic.items():
            # a batch that comes again because another topic failed has been written already
            done = self._written[topic]
            new = [one for one in some if one.offset >= done.get(one.partition, 0)]
            if not new:
                continue
            # of other partitions nothing is said: another process may have come further there
            after = done | {one.partition: one.offset + 1 for one in new}
            self._write(self.tables[topic], [one.event for one in new], after)
            self._written[topic] = after
            self._forget_old(self.tables[topic])

    def tick(self) -> None: ...

    def _write(self, table: Table, events: Sequence[Any], after: Places) -> None:
        at = datetime.fromtimestamp(self.now(), UTC)
        folder = self.root / table.folder / f"date={at.date()}" / f"hour={at.hour:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        final = folder / f"part-{self._epoch}-{time.time_ns():020d}.parquet"
        rows = table.rows(events)
        offsets = json.dumps({"epoch": self._epoch, "next": after})
        rows = rows.replace_schema_metadata({**(rows.schema.metadata or {}), OFFSETS: offsets.encode()})
        aside = final.with_suffix(".partial")
        pq.write_table(rows, aside, compression="zstd")
        with aside.open("rb+") as written:
            os.fsync(written.fileno())
        aside.rename(final)

    def _forget_old(self, table: Table) -> None:
        if math.isinf(table.keep_bytes):
            return
        total = 0
        for index, file in enumerate(reversed(files_of(self.root / table.folder))):
            with contextlib.suppress(FileNotFoundError):  # another of the group was as quick
                total += file.stat().st_size
                if index >= REMEMBERED_FILES and total > table.keep_bytes:
                    file.unlink()


def files_of(folder: Path) -> list[Path]:
    """The complete files of a topic, in the order in which they were written."""
    return sorted(folder.glob("date=*/hour=*/part-*.parquet"), key=lambda file: file.stem.rpartition("-")[2])


def next_offsets(folder: Path, epoch: str) -> Places:
    """Partition -> where reading goes on after the newest file of this epoch that speaks of it. A partition that none
    of the last files speaks of is not there: what its group has committed is as new."""
    mine = [file for file in files_of(folder) if file.stem.split("-")[1] == epoch]
    found: Places = {}
    for file in reversed(mine[-LOOKED_AT:]):
        for number, at in json.loads(pq.read_schema(file).metadata[OFFSETS])["next"].items():
            found.setdefault(int(number), int(at))
    return found
