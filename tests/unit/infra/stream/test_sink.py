"""The Parquet sink limits the size of its log on disk."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.stream.consumer import Received
from infra.stream.sink import REMEMBERED_FILES, ParquetSink, Table, files_of, next_offsets


def sink_of(root: Path, keep_bytes: float) -> ParquetSink:
    table = Table("log", lambda events: pa.table({"number": list(events)}), "number", keep_bytes)
    sink = ParquetSink(root, {"t": table}, lambda: 1_700_000_000.0)
    sink.resume("epoch")
    return sink


@pytest.mark.parametrize(("keep_bytes", "kept"), [(math.inf, REMEMBERED_FILES + 7), (0.0, REMEMBERED_FILES)])
def test_sink_deletes_the_oldest_files_beyond_its_size_and_keeps_its_offsets(
    tmp_path: Path, keep_bytes: float, kept: int
) -> None:
    sink = sink_of(tmp_path, keep_bytes)
    batches = REMEMBERED_FILES + 7
    for number in range(batches):
        sink.apply([Received(number, "t", 1, number, 0.0)])
    left = [pq.read_table(file, partitioning=None)["number"][0].as_py() for file in files_of(tmp_path / "log")]
    assert left == list(range(batches - kept, batches))
    assert next_offsets(tmp_path / "log", "epoch") == {1: batches}


def test_sink_keeps_all_files_within_its_size(tmp_path: Path) -> None:
    sink = sink_of(tmp_path, 1e6)
    for number in range(REMEMBERED_FILES + 7):
        sink.apply([Received(number, "t", 1, number, 0.0)])
    assert len(files_of(tmp_path / "log")) == REMEMBERED_FILES + 7
