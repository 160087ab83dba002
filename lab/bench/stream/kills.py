"""Measures lost and duplicated messages while the consumer process is killed repeatedly.

The bench sends shuffled reactions through the lab's producer: one in ten twice, and one message in a hundred is poison.
The reader process (`lab.bench.stream.victim`) writes Parquet and dies by SIGKILL between a complete file and the commit
of its offsets. The last reader runs until everything is committed. The bench then compares the files and the dead
letters with the messages that the broker acknowledged.
"""

from __future__ import annotations

import base64
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from prometheus_client import CollectorRegistry

from infra.errors import LabError
from infra.settings import REPOSITORY
from infra.stream.address import StreamAddress
from infra.stream.consumer import DeadLetter
from infra.stream.event import Codec
from infra.stream.kafka_client import kafka_errors, open_consumer, open_producer
from infra.stream.metrics import StreamMetrics
from infra.stream.producer import EventProducer
from infra.stream.sink import files_of
from lab.bench.broker import reactions
from lab.bench.stream.victim import FOLDER, GROUP, ID_COLUMN, Orders

EVENTS, KILLS, AT_ONCE = 8_000, 6, 100
TWICE, POISON = 0.1, 0.01
LATEST_DEATH = 4
"""Latest batch at which a reader dies. Each reader's share of the messages has more batches than this."""
ACKNOWLEDGED_S, PATIENCE_S = 10.0, 60.0


@dataclass(frozen=True)
class Losses:
    """Result of one run. `lost` counts acknowledged messages without a trace, `doubled` surplus rows in the files."""

    lost: int
    doubled: int


def losses(acked: Iterable[int], written: Iterable[int], poison: Iterable[bytes], buried: Iterable[bytes]) -> Losses:
    """Compare sent with stored messages. A good message must be in the files once, a poison message among the dead
    letters at least once."""
    rows = Counter(written)
    lost = len(set(acked) - rows.keys()) + len(set(poison) - set(buried))
    return Losses(lost, sum(count - 1 for count in rows.values()))


@dataclass
class KillBench:
    """One run against the broker at `address`. `number` names the topics and seeds the run."""

    address: StreamAddress
    directory: Path
    number: int
    events: int = EVENTS
    kills: int = KILLS

    def run(self) -> Losses:
        """Run the bench. Raises `LabError` if a reader does not die, or if the last reader does not reach the end."""
        dice = random.Random(self.number)
        metrics = StreamMetrics(CollectorRegistry(), (self.topic, self.dead))
        producer = EventProducer(lambda: self.address, [self.topic, self.dead], metrics)
        producer.start()
        messages, acked, poison = self._messages(dice), set[int](), set[bytes]()
        try:
            for number in range(self.kills + 1):
                is_last = number == self.kills
                with self._victim(0 if is_last else dice.randint(1, LATEST_DEATH)) as process:
                    for some in _parts(messages[number :: self.kills + 1], AT_ONCE):
                        self._publish(producer, some, acked, poison)
                    self._await_end(process) if is_last else _await_death(process)
        finally:
            producer.close()
        return losses(acked, self._written(), poison, self._dead_letters())

    @property
    def topic(self) -> str:
        return f"bench.kills-{self.number}"

    @property
    def dead(self) -> str:
        return f"bench.kills-{self.number}.dead"

    @property
    def root(self) -> Path:
        return self.directory / f"kills-{self.number}"

    def _messages(self, dice: random.Random) -> list[Any]:
        events = reactions(self.events, self.number, now_s=time.time())
        twice = dice.sample(list(events), int(TWICE * self.events))
        poison = [b'{"schema":"feed.reaction","version":1,"data":%d}' % n for n in range(int(POISON * self.events))]
        messages: list[Any] = [*events, *twice, *poison]
        dice.shuffle(messages)
        return messages

    def _publish(self, producer: EventProducer, some: Sequence[Any], acked: set[int], poison: set[bytes]) -> None:
        """Publish events and record the acknowledged ones. An exception means that the messages were not acknowledged.

        Poison goes through a bare Kafka client, because the lab's producer cannot write an invalid event.
        """
        events = [one for one in some if not isinstance(one, bytes)]
        _until(lambda: producer.is_up, "a producer")
        producer.publish([(self.topic, event) for event in events], ACKNOWLEDGED_S)
        acked.update(event.number for event in events)
        values = [one for one in some if isinstance(one, bytes)]
        if not values:
            return
        client = open_producer(self.address)
        with kafka_errors("send poison"):
            for value in values:
                client.send(self.topic, value=value, key=value)
            client.flush(ACKNOWLEDGED_S)
            client.close()
        poison.update(values)

    @contextmanager
    def _victim(self, dies_at: int) -> Iterator[subprocess.Popen[bytes]]:
        orders = Orders(self.address, self.topic, self.dead, str(self.root), dies_at)
        command = [sys.executable, "-W", "ignore", "-m", "lab.bench.stream.victim", orders.as_text()]
        process = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)

    def _await_end(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the consumer group has committed the end of every partition."""
        client: Any = open_consumer(self.address, [self.topic], GROUP)
        places = client.assignment()

        def is_at_end() -> bool:
            if process.poll() is not None:
                raise LabError("the last reader ended without being killed")
            with kafka_errors("read the offsets of the group"):
                ends = client.end_offsets(places)
                return all((client.committed(place) or 0) >= end for place, end in ends.items())

        _until(is_at_end, "the last commit")
        client.close(autocommit=False)

    def _written(self) -> Iterator[int]:
        for file in files_of(self.root / FOLDER):
            yield from pq.read_table(file, columns=[ID_COLUMN], partitioning=None)[ID_COLUMN].to_pylist()

    def _dead_letters(self) -> list[bytes]:
        """The original values of all dead letters."""
        client: Any = open_consumer(self.address, [self.dead], None)
        codec, found = Codec.of(DeadLetter), []
        with kafka_errors("read dead letters"):
            ends = client.end_offsets(client.assignment())
            while any(client.position(place) < end for place, end in ends.items()):
                for records in client.poll(timeout_ms=100).values():
                    found += [base64.b64decode(codec.decode(record.value).value) for record in records]
            client.close()
        return found


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[at : at + size] for at in range(0, len(items), size))


def _await_death(process: subprocess.Popen[bytes]) -> None:
    try:
        status = process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        raise LabError(f"a reader that must be killed still runs after {PATIENCE_S:.0f} s") from None
    if status != -signal.SIGKILL:
        raise LabError(f"a reader ended with status {status} before it was killed")


def _until(condition: Any, what: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            raise LabError(f"timed out while waiting for {what}")
        time.sleep(0.05)
