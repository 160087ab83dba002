"""`python -m tests.support.stream_reader JSON`: a reader that writes ticks to Parquet and can die before the commit.

The process sends SIGKILL to itself after a file is complete and before it commits the offsets of its group.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from prometheus_client import CollectorRegistry

from infra.settings import REPOSITORY
from infra.stream.address import StreamAddress
from infra.stream.consumer import ConsumerLimits, EventConsumer, Received
from infra.stream.event import Codec
from infra.stream.metrics import StreamMetrics
from infra.stream.producer import EventProducer
from infra.stream.sink import ParquetSink, Table, files_of
from tests.support.stream import Tick

FOLDER = "ticks"


def numbers_sink(root: Path, topic: str) -> ParquetSink:
    return ParquetSink(root, {topic: Table(FOLDER, _rows, "number")}, time.time)


def written(root: Path) -> list[int]:
    """Return the sorted numbers of all complete files."""
    files = files_of(root / FOLDER)
    return sorted(number for file in files for number in pq.read_table(file, partitioning=None)["number"].to_pylist())


@contextmanager
def killed_reader(
    address: StreamAddress, topic: str, dead: str, root: Path, dies_at: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a reader in a separate process. It dies at batch `dies_at`, or is killed at the end of the block."""
    told = {"address": asdict(address), "topic": topic, "dead": dead, "root": str(root), "dies_at": dies_at}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "tests.support.stream_reader", json.dumps(told)],
        cwd=REPOSITORY,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def _rows(events: Sequence[Tick]) -> pa.Table:
    return pa.table({"number": pa.array([event.number for event in events], pa.int64())})


class _KillingSink(ParquetSink):
    dies_at = 0
    batches = 0

    def apply(self, batch: Sequence[Received]) -> None:
        super().apply(batch)
        self.batches += 1
        if self.batches == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    told = json.loads(sys.argv[1])
    address, topic, dead = StreamAddress(**told["address"]), told["topic"], told["dead"]
    sink = _KillingSink(Path(told["root"]), {topic: Table(FOLDER, _rows, "number")}, time.time)
    sink.dies_at = told["dies_at"]
    metrics = StreamMetrics(CollectorRegistry(), (topic, dead))
    producer = EventProducer(lambda: address, [dead], metrics)
    producer.start()
    limits = ConsumerLimits(batch=200, linger_s=0.2, retry_s=0.1)
    codecs = {topic: Codec.of(Tick)}
    EventConsumer(lambda: address, "g", codecs, sink, metrics, (producer, dead), time.time, limits).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
