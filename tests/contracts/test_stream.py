"""What the stream promises, held against both brokers: nothing acknowledged is lost, nothing is done twice."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from infra.errors import FeatureStoreUnavailable, StreamUnavailable
from infra.stream.consumer import ConsumerLimits, EventConsumer, Received
from infra.stream.event import Codec
from infra.stream.kafka_client import open_consumer, open_producer
from infra.stream.metrics import StreamMetrics
from infra.stream.producer import EventProducer, ProducerLimits
from tests.stream import Collected, EmbeddedBroker, KafkaBroker, Tick, embedded, kafka

Broker = EmbeddedBroker | KafkaBroker
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module", params=["embedded", "kafka"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if request.param == "embedded":
        with embedded(tmp_path_factory.mktemp("broker")) as found:
            yield found
    else:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with kafka(port) as real:
            yield real


class Rig:
    """A producer, and consumers of one topic of its own."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.broker, self.topic, self.dead = broker, f"t.{name}.{time.time_ns()}", f"dead.{name}.{time.time_ns()}"
        self.metrics = StreamMetrics(CollectorRegistry(), (self.topic, self.dead))
        self.producer = EventProducer(broker.find, [self.topic, self.dead], self.metrics, ProducerLimits(retry_s=0.1))
        self.producer.start()
        self.consumers: list[EventConsumer] = []
        until(lambda: self.producer.is_up, "a producer")

    def consume(self, effect: Any, group: str = "g", **limits: Any) -> EventConsumer:
        consumer = EventConsumer(
            self.broker.find,
            group,
            {self.topic: Codec.of(Tick)},
            effect,
            StreamMetrics(CollectorRegistry(), (self.topic,)),
            (self.producer, self.dead),
            time.time,
            ConsumerLimits(retry_s=0.1, **limits),
        )
        consumer.start()
        self.consumers.append(consumer)
        return consumer

    def publish(self, numbers: Sequence[int], timeout_s: float = 10.0) -> None:
        self.producer.publish([(self.topic, Tick(number, time.time())) for number in numbers], timeout_s)

    def raw(self, values: Sequence[bytes]) -> None:
        client = open_producer(self.broker.find())
        for value in values:
            client.send(self.topic, value=value, key=b"1")
        client.flush()
        client.close()

    def close(self) -> None:
        for consumer in self.consumers:
            consumer.close()
        self.producer.close()


@pytest.fixture
def rig(broker: Broker, request: pytest.FixtureRequest) -> Iterator[Rig]:
    found = Rig(broker, request.node.name.partition("[")[0][:60])
    yield found
    found.close()


def until(condition: Callable[[], bool], what: str, seconds: float = 40.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


def count(metric: Any, *labels: str) -> float:
    value: float = metric.labels(*labels)._value.get()
    return value


def test_what_is_published_is_read_once_and_the_counts_add_up(rig: Rig) -> None:
    effect = Collected()
    consumer = rig.consume(effect)
    rig.publish(range(300))
    for number in range(300, 400):
        assert rig.producer.offer(rig.topic, lambda number=number: Tick(number, time.time()))
    until(lambda: len(effect.numbers) >= 400, "all events")
    assert sorted(effect.numbers) == list(range(400))
    until(lambda: count(rig.metrics.acked, rig.topic) == 400, "all acknowledgements")
    assert count(rig.metrics.offered, rig.topic) == 400
    assert count(consumer.metrics.read, rig.topic, "applied") == 400
    until(lambda: count(consumer.metrics.lag, rig.topic, "g") == 0, "no lag")


def test_duplicates_and_a_shuffle_change_nothing(rig: Rig) -> None:
    effect = Collected()
    consumer = rig.consume(effect)
    numbers = [*range(200), *range(200)]
    random.Random(3).shuffle(numbers)
    rig.publish(numbers)
    until(lambda: count(consumer.metrics.read, rig.topic, "duplicate") == 200, "duplicates")
    assert sorted(effect.numbers) == list(range(200))


def test_a_poison_message_is_buried_with_its_reason_and_the_rest_goes_on(rig: Rig) -> None:
    effect = Collected()
    consumer = rig.consume(effect)
    rig.publish(range(50))
    rig.raw([b"\xff not json", b'{"schema":"test.tick","version":2,"data":{}}', b'{"schema":"other","data":{}}'])
    rig.publish(range(50, 100))
    until(lambda: len(effect.numbers) == 100, "the good ones")
    until(lambda: count(consumer.metrics.read, rig.topic, "dead_letter") == 3, "three dead letters")
    client = open_consumer(rig.broker.find(), [rig.dead], None)
    letters: list[bytes] = []
    until(lambda: letters.extend(_polled(client)) or len(letters) == 3, "the letters")  # type: ignore[func-returns-value]
    client.close()
    text = b"".join(letters).decode()
    assert "not JSON" in text
    assert "version 2, this code reads 1" in text
    assert "unknown schema 'other'" in text


def _polled(client: Any) -> list[bytes]:
    return [record.value for records in client.poll(timeout_ms=200).values() for record in records]


def test_an_effect_that_has_a_bug_with_one_event_buries_that_one(rig: Rig) -> None:
    class Picky(Collected):
        def apply(self, batch: Sequence[Received]) -> None:
            if any(received.event.number == 7 for received in batch):
                raise ZeroDivisionError("seven")
            super().apply(batch)

    effect = Picky()
    consumer = rig.consume(effect, linger_s=0.5)
    rig.publish(range(20))
    until(lambda: len(effect.numbers) == 19, "all but one")
    until(lambda: count(consumer.metrics.read, rig.topic, "dead_letter") == 1, "a dead letter")
    assert 7 not in effect.numbers


def test_an_effect_whose_dependency_is_away_gets_the_same_again(rig: Rig) -> None:
    class Away(Collected):
        def apply(self, batch: Sequence[Received]) -> None:
            if self.batches < 3:
                self.batches += 1
                raise FeatureStoreUnavailable("away")
            super().apply(batch)

    effect = Away()
    rig.consume(effect)
    rig.publish(range(30))
    until(lambda: len(effect.numbers) == 30, "everything, later")
    assert sorted(effect.numbers) == list(range(30))


def test_a_second_consumer_of_the_group_goes_on_where_the_first_ended(rig: Rig) -> None:
    first, second = Collected(), Collected()
    consumer = rig.consume(first)
    rig.publish(range(100))
    until(lambda: len(first.numbers) == 100, "the first hundred")
    consumer.close()
    rig.publish(range(100, 150))
    rig.consume(second)
    until(lambda: len(second.numbers) == 50, "the rest")
    assert sorted(second.numbers) == list(range(100, 150))


def test_a_consumer_that_stands_still_is_made_anew(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    effect = Collected()
    consumer = rig.consume(effect, stalled_s=2.0)
    rig.publish(range(10))
    until(lambda: len(effect.numbers) == 10, "a running consumer")
    gather, stuck, asked = consumer._gather, [True], []

    def gather_nothing(*words: Any) -> list[Any]:
        if not stuck[0]:
            return gather(*words)
        asked.append(words)
        time.sleep(0.1)
        return []

    monkeypatch.setattr(consumer, "_gather", gather_nothing)
    until(lambda: bool(asked), "the end of a poll that was under way")
    rig.publish(range(10, 20))
    until(lambda: count(consumer.metrics.rebuilt, "g", "stream_unavailable") >= 1, "a rebuilt consumer")
    stuck[0] = False
    until(lambda: len(effect.numbers) == 20, "what it had not read")


@pytest.mark.parametrize("away_s", [4.0])
def test_a_broker_that_is_away_for_a_while_costs_nothing_that_was_acknowledged(
    broker: Broker, rig: Rig, away_s: float
) -> None:
    """With the embedded one, what it held and nobody had read is lost, and counted."""
    effect = Collected()
    consumer = rig.consume(effect, lag_every_s=0.2)
    rig.publish(range(100))
    until(lambda: len(effect.numbers) == 100, "the first hundred")
    broker.stop()
    for number in range(100, 200):
        rig.producer.offer(rig.topic, lambda number=number: Tick(number, time.time()))
    time.sleep(away_s)
    begun = time.monotonic()
    with pytest.raises(StreamUnavailable):
        rig.publish([1000], 1.0)
    assert time.monotonic() - begun < 2.0
    broker.start()
    until(lambda: len(set(effect.numbers) & set(range(100, 200))) == 100, "what waited meanwhile", 60)
    assert len(effect.numbers) == len(set(effect.numbers))
    until(lambda: count(rig.metrics.acked, rig.topic) >= 200, "their acknowledgement")
    assert count(consumer.metrics.lost, rig.topic) == 0
    rig.publish([2000])
    until(lambda: 2000 in effect.numbers, "ordinary life again")


def test_a_buffer_that_is_full_drops_and_counts(tmp_path: Path) -> None:
    def nowhere() -> Any:
        raise StreamUnavailable("no broker")

    metrics = StreamMetrics(CollectorRegistry(), ("t",))
    producer = EventProducer(nowhere, ["t"], metrics, ProducerLimits(offered=50, waiting_bytes=5_000, retry_s=0.01))
    producer.start()
    started = time.perf_counter()
    for number in range(500):
        producer.offer("t", lambda number=number: Tick(number, 0.0))
        time.sleep(0.0005)
    assert time.perf_counter() - started < 5
    producer.close()
    offered, acked = count(metrics.offered, "t"), count(metrics.acked, "t")
    dropped = sum(count(metrics.dropped, "t", reason) for reason in ("buffer_full", "closed"))
    assert offered == 500
    assert acked == 0
    assert dropped == 500
