"""Appends events to Parquet exactly once, even if the process is killed, by storing offsets in each file.

The sink writes one file per topic and batch under a temporary name and renames it, so a file under its final name is
complete. The file's metadata holds the next offset of each partition. A restart resumes from the newest files' offsets,
which override the group's committed ones. Files are partitioned by date and hour of the world's clock at writing. A
table with `keep_bytes` deletes its oldest files; the other tables keep every file.
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
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:  # the Kafka client, which a reader of the files does not need
    from infra.stream.consumer import Received

Places = dict[int, int]
OFFSETS = b"lab.offsets"
REMEMBERED_FILES = 50
"""Number of newest files from which a restart loads event ids to detect duplicates."""
LOOKED_AT = 500
"""Number of newest files in which a restart searches the offsets of each partition."""


@dataclass(frozen=True)
class Table:
    """How a topic is stored: its folder, the function from events to a table, and the column with the event ids.

    Above `keep_bytes` in total, the sink deletes the oldest files. It always keeps the newest `REMEMBERED_FILES`.
    """

    folder: str
    rows: Callable[[Sequence[Any]], pa.Table]
    id_column: str
    keep_bytes: float = math.inf


@dataclass
class ParquetSink:
    """Effect that writes events to Parquet. `root` holds one folder per topic; `now` reads the world's clock."""

    root: Path
    tables: Mapping[str, Table]
    now: Callable[[], float]
    _epoch: str = ""
    _written: dict[str, Places] = field(default_factory=lambda: defaultdict(dict))
    """topic -> partition -> next offset after the files written since `resume`"""

    def resume(self, epoch: str) -> Mapping[tuple[str, int], int]:
        """Next offsets after the newest files of this epoch, by topic and partition."""
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
            # a batch that is retried because another topic failed may already be written for this topic
            done = self._written[topic]
            new = [one for one in some if one.offset >= done.get(one.partition, 0)]
            if not new:
                continue
            # offsets of other partitions are left out: another process may be further ahead there
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
            with contextlib.suppress(FileNotFoundError):  # another consumer of the group deleted the file
                total += file.stat().st_size
                if index >= REMEMBERED_FILES and total > table.keep_bytes:
                    file.unlink()


def files_of(folder: Path) -> list[Path]:
    """The complete files of a topic in write order."""
    return sorted(folder.glob("date=*/hour=*/part-*.parquet"), key=lambda file: file.stem.rpartition("-")[2])


def next_offsets(folder: Path, epoch: str) -> Places:
    """Partition -> next offset after the newest file of this epoch that names the partition.

    Partitions that none of the last `LOOKED_AT` files names are left out: the group's committed offset is as recent.
    """
    mine = [file for file in files_of(folder) if file.stem.split("-")[1] == epoch]
    found: Places = {}
    for file in reversed(mine[-LOOKED_AT:]):
        for number, at in json.loads(pq.read_schema(file).metadata[OFFSETS])["next"].items():
            found.setdefault(int(number), int(at))
    return found
