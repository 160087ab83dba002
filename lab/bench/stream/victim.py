"""`python -m lab.bench.stream.victim JSON`: a reader that writes reactions to Parquet and dies before the commit.

The process sends SIGKILL to itself after a file is complete and before it commits its offsets. With `dies_at` 0 it runs
until it is stopped.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from infra.design import resolve
from infra.stream.address import StreamAddress
from infra.stream.consumer import ConsumerLimits, EventConsumer, Received
from infra.stream.event import Codec
from infra.stream.metrics import StreamMetrics
from infra.stream.producer import EventProducer
from infra.stream.sink import ParquetSink, Table
from lab.bench.broker import REACTION, ROWS

FOLDER, ID_COLUMN, GROUP = "log", "event_id", "bench-victim"
LIMITS = ConsumerLimits(batch=200, linger_s=0.1, retry_s=0.1)


@dataclass(frozen=True)
class Orders:
    """Arguments of the reader: its topic, its output directory `root`, and the batch `dies_at` at which it dies."""

    address: StreamAddress
    topic: str
    dead_letters: str
    root: str
    dies_at: int

    def as_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Orders:
        fields = json.loads(text)
        return cls(**fields | {"address": StreamAddress(**fields["address"])})


class _KillingSink(ParquetSink):
    """A sink that kills its process after batch `dies_at`."""

    dies_at = 0
    batches = 0

    def apply(self, batch: Sequence[Received]) -> None:
        super().apply(batch)
        self.batches += 1
        if self.batches == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)


def read(orders: Orders) -> None:
    """Consume until the process is killed."""
    sink = _KillingSink(Path(orders.root), {orders.topic: Table(FOLDER, resolve(ROWS), ID_COLUMN)}, time.time)
    sink.dies_at = orders.dies_at
    metrics = StreamMetrics(CollectorRegistry(), (orders.topic, orders.dead_letters))
    producer = EventProducer(lambda: orders.address, [orders.dead_letters], metrics)
    producer.start()
    codecs = {orders.topic: Codec.of(resolve(REACTION))}
    letters = (producer, orders.dead_letters)
    EventConsumer(lambda: orders.address, GROUP, codecs, sink, metrics, letters, time.time, LIMITS).start()
    threading.Event().wait()


if __name__ == "__main__":
    read(Orders.of_text(sys.argv[1]))
