"""Measures the throughput of the lab's consumer relative to a bare kafka-python loop over the same messages.

The bare loop polls, parses each value as JSON and commits after each batch: the minimum of any consumer. The lab's
consumer also validates fields, removes duplicates and counts metrics; its effect does nothing. Both consumers read the
same messages from the same broker in turns. Each read uses a new consumer group and so starts at the first message. The
clock runs from the first to the last batch, so the time to connect is excluded.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from statistics import median
from typing import Any

import orjson
from prometheus_client import CollectorRegistry

from infra.design import resolve
from infra.errors import LabError
from infra.stream.address import StreamAddress
from infra.stream.consumer import ConsumerLimits, EventConsumer, Received
from infra.stream.event import Codec, encode
from infra.stream.kafka_client import kafka_errors, open_consumer, open_producer
from infra.stream.metrics import StreamMetrics
from infra.stream.producer import EventProducer
from lab.bench.broker import REACTION, reactions

MESSAGES = 20_000
"""About 2.5 MB in each partition. The embedded broker keeps 5 MB per partition."""
PATIENCE_S = 120.0
_groups = count()


@dataclass
class Pace:
    """Measures messages per second from the end of the first batch to the end of the last batch."""

    wanted: int
    read: int = 0
    first: int = 0
    began_s: float = 0.0
    ended_s: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)

    def batch(self, size: int) -> None:
        """Count a handled batch of `size` messages."""
        self.ended_s = time.perf_counter()
        if not self.read:
            self.first, self.began_s = size, self.ended_s
        self.read += size
        if self.read >= self.wanted:
            self.done.set()

    @property
    def per_s(self) -> float:
        """Messages per second. Raises `LabError` if messages are missing, or if all came in the first batch."""
        if self.read != self.wanted or self.first == self.wanted:
            raise LabError(f"{self.read} of {self.wanted} messages were read, {self.first} in the first batch")
        return (self.read - self.first) / (self.ended_s - self.began_s)


class Counted:
    """An effect that only counts messages."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    def apply(self, batch: Sequence[Received]) -> None:
        self._pace.batch(len(batch))

    def resume(self, epoch: str) -> Mapping[tuple[str, int], int]:
        return {}

    def known(self) -> Sequence[str]:
        return ()

    def tick(self) -> None: ...


@dataclass
class SpeedBench:
    """Throughput benchmark on a broker without other clients. Call `fill` once, then `round` any number of times."""

    address: StreamAddress
    messages: int = MESSAGES
    turns: int = 7
    topic: str = "bench.reactions"

    def fill(self) -> None:
        """Write the messages to the topic."""
        client = open_producer(self.address)
        with kafka_errors("fill the topic"):
            for event in reactions(self.messages, 0, now_s=time.time()):
                one = encode(self.topic, event)
                client.send(one.topic, value=one.value, key=one.key)
            client.flush(timeout=60)
            client.close()

    def round(self) -> float:
        """Throughput of the lab's consumer divided by that of the bare loop, each the median over `turns`."""
        bare: list[float] = []
        ours: list[float] = []
        for number in range(self.turns):
            turns = ((self.bare_per_s, bare), (self.consumer_per_s, ours))
            for read, found in turns if number % 2 == 0 else reversed(turns):
                found.append(read())
        return median(ours) / median(bare)

    def bare_per_s(self) -> float:
        client: Any = open_consumer(self.address, [self.topic], f"bench-bare-{next(_groups)}")
        pace, until = Pace(self.messages), time.monotonic() + PATIENCE_S
        limits = ConsumerLimits()
        with kafka_errors("read"):
            while not pace.done.is_set() and time.monotonic() < until:
                polled = client.poll(timeout_ms=limits.poll_ms, max_records=limits.batch)
                values = [orjson.loads(record.value) for records in polled.values() for record in records]
                if values:
                    pace.batch(len(values))
                    client.commit()
            client.close(autocommit=False)
        return pace.per_s

    def consumer_per_s(self) -> float:
        pace = Pace(self.messages)
        metrics = StreamMetrics(CollectorRegistry(), (self.topic,))
        letters = EventProducer(lambda: self.address, ["bench.dead_letters"], metrics)  # no letter is written
        consumer = EventConsumer(
            lambda: self.address,
            f"bench-lab-{next(_groups)}",
            {self.topic: Codec.of(resolve(REACTION))},
            Counted(pace),
            metrics,
            (letters, "bench.dead_letters"),
            time.time,
        )
        consumer.start()
        pace.done.wait(PATIENCE_S)
        consumer.close()
        return pace.per_s
