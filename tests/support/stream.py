"""Brokers and small events for stream tests: the embedded broker, and Kafka if a Docker engine is present."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from infra.errors import StreamUnavailable
from infra.settings import REPOSITORY, Settings
from infra.stream import kafka_client
from infra.stream.address import StreamAddress, address_file, find_stream
from infra.stream.consumer import DeadLetter, Received
from infra.stream.event import Codec
from infra.stream.kafka_client import PARTITIONS, open_consumer
from tests.support.containers import container, docker, need_image, wait_for
from tests.support.waiting import until

KAFKA = "apache/kafka:4.1.1"
CONFIG = "/mnt/shared/config"


@dataclass(frozen=True)
class Tick:
    """A minimal event."""

    SCHEMA: ClassVar[str] = "test.tick"
    VERSION: ClassVar[int] = 1

    number: int
    at: float

    @property
    def event_id(self) -> str:
        return str(self.number)

    @property
    def event_ts(self) -> float:
        return self.at

    @property
    def key(self) -> str:
        return str(self.number % 7)


class Collected:
    """An effect that records the numbers of its events."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.batches = 0

    def apply(self, batch: Sequence[Received]) -> None:
        self.batches += 1
        self.numbers += [received.event.number for received in batch]

    def resume(self, epoch: str) -> dict[tuple[str, int], int]:
        return {}

    def known(self) -> list[str]:
        return []

    def tick(self) -> None: ...


@dataclass
class EmbeddedBroker:
    """The embedded broker in a process that tests can kill and restart."""

    settings: Settings
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LAB_")}
        environment |= {"LAB_HOME": str(self.settings.home), "LAB_PRESET": self.settings.preset}
        before = self._epoch()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infra.stream.broker"], cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL
        )
        until(lambda: self._epoch() not in ("", before), "the broker")

    def stop(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def find(self) -> StreamAddress:
        return find_stream(self.settings)

    def _epoch(self) -> str:
        try:
            return self.find().epoch
        except StreamUnavailable:
            return ""


@dataclass
class KafkaBroker:
    """Apache Kafka in a container that tests can stop and restart at the same address."""

    name: str
    address: str

    def start(self) -> None:
        docker("start", self.name)
        wait_for(self._answers, "Kafka")

    def stop(self) -> None:
        docker("stop", "--time", "2", self.name)

    def find(self) -> StreamAddress:
        return StreamAddress(self.address, "kafka", is_embedded=False)

    def _answers(self) -> bool:
        try:
            docker("exec", self.name, "bash", f"{CONFIG}/healthy.sh")
        except RuntimeError:
            return False
        return True


@contextmanager
def embedded(home: Path) -> Iterator[EmbeddedBroker]:
    with embedded_for(Settings(home=home, preset="smoke")) as broker:
        yield broker


@contextmanager
def embedded_for(settings: Settings) -> Iterator[EmbeddedBroker]:
    """Run an embedded broker at the address where services with these settings look for it."""
    broker = EmbeddedBroker(settings)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
        address_file(settings).unlink(missing_ok=True)


@contextmanager
def kafka(port: int) -> Iterator[KafkaBroker]:
    need_image(KAFKA)
    words = ["--volume", f"{REPOSITORY / 'infra' / 'deploy' / 'kafka'}:{CONFIG}:ro"]
    for name, value in {
        # only the address differs from docker-compose.yml; the image requires `listeners` next to it
        "KAFKA_LISTENERS": "CLIENTS://:9092,CONTROLLER://127.0.0.1:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"CLIENTS://127.0.0.1:{port}",
        "KAFKA_HEAP_OPTS": "-Xms256m -Xmx256m",
    }.items():
        words += ["--env", f"{name}={value}"]
    with container(KAFKA, *words, port=9092, publish=f"127.0.0.1:{port}:9092", keep=True) as (name, address):
        broker = KafkaBroker(name, address)
        wait_for(broker._answers, "Kafka", 90)
        yield broker


def read_all(address: StreamAddress, topic: str) -> list[DeadLetter]:
    """Return every dead letter of a topic."""
    client = open_consumer(address, [topic], None)
    codec = Codec.of(DeadLetter)
    found: list[DeadLetter] = []
    try:
        ends = client.end_offsets(list(client.assignment()))
        while any(client.position(place) < end for place, end in ends.items()):
            records = client.poll(timeout_ms=200).values()
            found += [codec.decode(record.value) for some in records for record in some]
    finally:
        client.close()
    return found


def is_committed(address: StreamAddress, topic: str, group: str) -> bool:
    """True if the group has committed the end of every partition. The query does not join the group."""
    client = KafkaConsumer(**kafka_client._common(address), group_id=group, enable_auto_commit=False)
    try:
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        ends = client.end_offsets(places, timeout_ms=3_000)
        return all((client.committed(place, timeout_ms=3_000) or 0) >= end for place, end in ends.items())
    finally:
        client.close()


def forget_topic(address: StreamAddress, topic: str) -> None:
    admin = KafkaAdminClient(**kafka_client._common(address))
    admin.delete_topics([topic])
    admin.close()


def count(metric: Any, *labels: str) -> float:
    value: float = metric.labels(*labels)._value.get()
    return value
