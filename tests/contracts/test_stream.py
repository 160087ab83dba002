"""On both brokers, the stream loses no acknowledged event, and no event takes effect twice."""

from __future__ import annotations

import base64
import random
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from infra.errors import FeatureStoreUnavailable, StreamUnavailable
from infra.stream.consumer import ConsumerLimits, EventConsumer, Received
from infra.stream.event import Codec, Encoded, encode
from infra.stream.kafka_client import PARTITIONS, epoch_of, make_topics, open_producer
from infra.stream.metrics import StreamMetrics
from infra.stream.producer import EventProducer, ProducerLimits
from tests.support.stream import (
    Collected,
    EmbeddedBroker,
    KafkaBroker,
    Tick,
    count,
    embedded,
    forget_topic,
    is_committed,
    kafka,
    read_all,
)
from tests.support.stream_reader import killed_reader, numbers_sink, written
from tests.support.waiting import PATIENCE_S, until

Broker = EmbeddedBroker | KafkaBroker
pytestmark = pytest.mark.timeout(600)


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
    """A producer and consumers with a topic of their own."""

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

    def publish(self, numbers: Sequence[int], timeout_s: float = 60.0) -> None:
        self.producer.publish([(self.topic, Tick(number, time.time())) for number in numbers], timeout_s)

    def raw(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        client = open_producer(self.broker.find())
        for key, value in messages:
            client.send(self.topic, value=value, key=key)
        client.flush(PATIENCE_S)
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


def test_published_events_are_read_once_and_counts_add_up(rig: Rig) -> None:
    effect = Collected()
    consumer = rig.consume(effect)
    rig.publish(range(300))
    for number in range(300, 400):
        assert rig.producer.offer(rig.topic, lambda number=number: Tick(number, time.time()))
    until(lambda: len(effect.numbers) >= 400, "all events")
    assert sorted(effect.numbers) == list(range(400))
    until(lambda: count(rig.metrics.acked, rig.topic) == 400, "all acknowledgements")
    assert count(rig.metrics.offered, rig.topic) == 400
    until(lambda: count(consumer.metrics.read, rig.topic, "applied") == 400, "the count of applied events")
    until(lambda: count(consumer.metrics.lag, rig.topic, "g") == 0, "no lag")


def test_handed_over_events_wait_for_a_stopped_broker_and_arrive_once(broker: Broker, rig: Rig) -> None:
    effect = Collected()
    rig.consume(effect)
    for number in range(100):
        assert rig.producer.hand_over(rig.topic, Tick(number, time.time()))
    until(lambda: len(effect.numbers) == 100, "the first hundred")
    broker.stop()
    for number in range(100, 200):
        begun = time.monotonic()
        assert rig.producer.hand_over(rig.topic, Tick(number, time.time()))
        assert time.monotonic() - begun < 30, "the caller does not wait for a stopped broker"
    time.sleep(6)  # longer than the timeout of a sent event
    broker.start()
    until(lambda: set(effect.numbers) == set(range(200)), "the waiting events")
    assert len(effect.numbers) == 200, "an event arrived twice"
    until(lambda: count(rig.metrics.acked, rig.topic) >= 200, "all acknowledgements")
    assert count(rig.metrics.offered, rig.topic) == 200


def test_publish_sends_at_once_together_with_gathered_events(broker: Broker, rig: Rig) -> None:
    effect = Collected()
    rig.consume(effect)
    metrics = StreamMetrics(CollectorRegistry(), (rig.topic,))
    producer = EventProducer(broker.find, [rig.topic], metrics, ProducerLimits(send_s=60))
    producer.start()
    until(lambda: producer.is_up, "a producer")
    for number in range(10):
        assert producer.hand_over(rig.topic, Tick(number, time.time()))
    time.sleep(1)
    assert count(metrics.acked, rig.topic) == 0, "no caller waits for the gathered events"
    producer.publish([(rig.topic, Tick(10, time.time()))], 20)
    until(lambda: sorted(effect.numbers) == list(range(11)), "all events, including the gathered ones")
    producer.close()


def test_closing_the_producer_sends_offered_events(rig: Rig) -> None:
    effect = Collected()
    rig.consume(effect)
    for number in range(50):
        rig.producer.offer(rig.topic, lambda number=number: Tick(number, time.time()))
    rig.producer.close()
    until(lambda: sorted(effect.numbers) == list(range(50)), "all offered events")
    assert count(rig.metrics.dropped, rig.topic, "closed") == 0


def test_backlog_is_read_in_batches_of_bounded_size(rig: Rig) -> None:
    sizes: list[int] = []

    class Sized(Collected):
        def apply(self, batch: Sequence[Received]) -> None:
            sizes.append(sum(len(received.value) for received in batch))
            super().apply(batch)

    effect, padding = Sized(), b" " * 50_000
    values = [encode(rig.topic, Tick(number, time.time())).value + padding for number in range(300)]
    rig.raw([(str(number).encode(), value) for number, value in enumerate(values)])
    rig.consume(effect, linger_s=2.0, batch=1_000, batch_bytes=500_000)
    until(lambda: len(effect.numbers) == 300, "the backlog")
    assert sum(sizes) > 15_000_000
    assert max(sizes) < 500_000 + PARTITIONS * 1_100_000  # one poll can exceed the limit by its data of each partition


def test_duplicate_and_shuffled_events_take_effect_once(rig: Rig) -> None:
    effect = Collected()
    consumer = rig.consume(effect)
    numbers = [*range(200), *range(200)]
    random.Random(3).shuffle(numbers)
    rig.publish(numbers)
    until(lambda: count(consumer.metrics.read, rig.topic, "duplicate") == 200, "duplicates")
    assert sorted(effect.numbers) == list(range(200))


def test_unreadable_messages_become_dead_letters_with_a_reason(rig: Rig) -> None:
    effect = Collected()
    consumer = rig.consume(effect)
    rig.publish(range(50))
    values = [b"\xff not json", b'{"schema":"test.tick","version":2,"data":{}}', b'{"schema":"other","data":{}}']
    rig.raw([(b"1", value) for value in values])
    rig.publish(range(50, 100))
    until(lambda: len(effect.numbers) == 100, "the readable events")
    until(lambda: count(consumer.metrics.read, rig.topic, "dead_letter") == 3, "three dead letters")
    reasons = " ".join(letter.reason for letter in read_all(rig.broker.find(), rig.dead))
    assert "not JSON" in reasons
    assert "version 2, this code reads version 1" in reasons
    assert "unknown schema 'other'" in reasons


def test_event_that_crashes_the_effect_becomes_a_dead_letter(rig: Rig) -> None:
    class Crashing(Collected):
        def apply(self, batch: Sequence[Received]) -> None:
            if any(received.event.number == 7 for received in batch):
                raise ZeroDivisionError("seven")
            super().apply(batch)

    effect = Crashing()
    consumer = rig.consume(effect, linger_s=0.5)
    rig.publish(range(20))
    until(lambda: len(effect.numbers) == 19, "all events but one")
    until(lambda: count(consumer.metrics.read, rig.topic, "dead_letter") == 1, "a dead letter")
    assert 7 not in effect.numbers


def test_batch_is_retried_while_a_dependency_is_unavailable(rig: Rig) -> None:
    class Unavailable(Collected):
        def apply(self, batch: Sequence[Received]) -> None:
            if self.batches < 3:
                self.batches += 1
                raise FeatureStoreUnavailable("away")
            super().apply(batch)

    effect = Unavailable()
    rig.consume(effect)
    rig.publish(range(30))
    until(lambda: len(effect.numbers) == 30, "all events after the retries")
    assert sorted(effect.numbers) == list(range(30))


def test_second_consumer_of_a_group_resumes_after_the_first(rig: Rig) -> None:
    first, second = Collected(), Collected()
    consumer = rig.consume(first)
    rig.publish(range(100))
    until(lambda: len(first.numbers) == 100, "the first hundred")
    consumer.close()
    rig.publish(range(100, 150))
    rig.consume(second)
    until(lambda: len(second.numbers) == 50, "the rest")
    assert sorted(second.numbers) == list(range(100, 150))


def test_stalled_consumer_is_rebuilt(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
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
    until(lambda: bool(asked), "the end of the current poll")
    rig.publish(range(10, 20))
    until(lambda: count(consumer.metrics.rebuilt, "g", "stream_unavailable") >= 1, "a rebuilt consumer")
    stuck[0] = False
    until(lambda: len(effect.numbers) == 20, "the unread events")


def test_acknowledged_events_survive_a_broker_outage(broker: Broker, rig: Rig) -> None:
    """All events are read before the outage, because the embedded broker loses unread events."""
    away_s = 30.0 if isinstance(broker, KafkaBroker) else 4.0
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
    assert time.monotonic() - begun < 30, "publish returns soon after its timeout of one second"
    broker.start()
    until(lambda: len(set(effect.numbers) & set(range(100, 200))) == 100, "the waiting events")
    assert len(effect.numbers) == len(set(effect.numbers))
    until(lambda: count(rig.metrics.acked, rig.topic) >= 200, "the acknowledgements of the waiting events")
    assert count(consumer.metrics.lost, rig.topic) == 0
    rig.publish([2000])
    until(lambda: 2000 in effect.numbers, "an event after the outage")


def test_unread_events_of_a_stopped_embedded_broker_count_as_lost(broker: Broker, rig: Rig) -> None:
    if not isinstance(broker, EmbeddedBroker):
        pytest.skip("Kafka keeps acknowledged events")

    class Slow(Collected):
        def apply(self, batch: Sequence[Received]) -> None:
            super().apply(batch)
            time.sleep(0.5)

    effect = Slow()
    rig.publish(range(100))
    consumer = rig.consume(effect, batch=5)
    until(lambda: count(consumer.metrics.lag, rig.topic, "g") > 0, "a measured lag")
    broker.stop()
    broker.start()
    until(lambda: count(consumer.metrics.lost, rig.topic) > 0, "a counted loss")
    assert count(consumer.metrics.lost, rig.topic) + len(effect.numbers) == 100


def test_consumers_of_a_group_write_each_event_once_while_members_join_and_leave(
    broker: Broker, rig: Rig, tmp_path: Path
) -> None:
    if not isinstance(broker, KafkaBroker):
        pytest.skip("the embedded broker has one consumer of each group by construction")
    first = rig.consume(numbers_sink(tmp_path, rig.topic))
    rig.publish(range(200))
    until(lambda: written(tmp_path) == list(range(200)), "the events of the first consumer")
    rig.consume(numbers_sink(tmp_path, rig.topic))
    for begin in range(200, 1000, 20):
        rig.publish(range(begin, begin + 20))
        time.sleep(0.1)
        if begin == 700:
            first.close()
    until(lambda: len(written(tmp_path)) >= 1000, "all events")
    assert written(tmp_path) == list(range(1000))


@pytest.mark.parametrize("remembers", ["too much", "too little"])
def test_effect_with_offsets_outside_the_log_resumes_within_the_log(rig: Rig, remembers: str) -> None:
    class WrongOffsets(Collected):
        def resume(self, epoch: str) -> dict[tuple[str, int], int]:
            return {(rig.topic, number): 10_000 if remembers == "too much" else -5 for number in range(PARTITIONS)}

    rig.publish(range(50))
    effect = WrongOffsets()
    consumer = rig.consume(effect)
    until(lambda: count(consumer.metrics.lag, rig.topic, "g") == 0 and not consumer.last_error, "a running consumer")
    if remembers == "too little":
        until(lambda: len(effect.numbers) == 50, "the existing events")
    else:
        until(lambda: bool(consumer._place), "the position at the end of the log")
    rig.publish(range(50, 60))
    until(lambda: set(effect.numbers) >= set(range(50, 60)), "the later events")
    assert len(effect.numbers) == (60 if remembers == "too little" else 10)


def test_recreated_topics_are_read_from_the_beginning(broker: Broker, rig: Rig, tmp_path: Path) -> None:
    """The effect ignores the offsets that its files hold for the deleted topic."""
    if not isinstance(broker, KafkaBroker):
        pytest.skip("the embedded broker's topics are new after each restart; its epoch says so")
    consumer = rig.consume(numbers_sink(tmp_path, rig.topic))
    rig.publish(range(100))
    until(lambda: written(tmp_path) == list(range(100)), "the events of the first topic")
    consumer.close()
    before = epoch_of(broker.find(), [rig.topic])
    forget_topic(broker.find(), rig.topic)

    def is_new() -> bool:
        try:  # for a while, a broker may list the old topic or not the new one
            make_topics(broker.find(), [rig.topic])
            return epoch_of(broker.find(), [rig.topic]) != before
        except StreamUnavailable:
            return False

    until(is_new, "the new topic")
    rig.publish(range(90, 120))
    consumer = rig.consume(numbers_sink(tmp_path, rig.topic))
    until(lambda: written(tmp_path) == list(range(120)), "the events of the new topic")
    until(lambda: count(consumer.metrics.read, rig.topic, "duplicate") == 10, "the events that the files already held")


def test_reader_killed_between_effect_and_commit_writes_each_event_once(rig: Rig, tmp_path: Path) -> None:
    """One event in five is duplicated, one message in a hundred is unreadable; the reader dies at random batches."""
    dice = random.Random(11)
    good = [*range(3000), *dice.sample(range(3000), 600)]
    values = [encode(rig.topic, Tick(number, time.time())) for number in good]
    poison = [Encoded(rig.topic, str(at % 7).encode(), b"poison %d" % at, "") for at in range(len(good) // 100)]
    messages = [*values, *poison]
    dice.shuffle(messages)
    rig.raw([(one.key, one.value) for one in messages])
    address = rig.broker.find()
    deaths = 0
    while deaths < 4:
        with killed_reader(address, rig.topic, rig.dead, tmp_path, dies_at=dice.randint(1, 4)) as process:
            assert process.wait(PATIENCE_S) == -signal.SIGKILL
        deaths += 1
        assert len(written(tmp_path)) == len(set(written(tmp_path))), f"after {deaths} deaths"
    with killed_reader(address, rig.topic, rig.dead, tmp_path, dies_at=0):
        until(lambda: len(written(tmp_path)) >= 3000, "all events")
        until(lambda: is_committed(address, rig.topic, "g"), "the last commit")
    assert written(tmp_path) == list(range(3000))
    letters = read_all(address, rig.dead)
    assert {base64.b64decode(letter.value) for letter in letters} == {one.value for one in poison}
    assert all("not JSON" in letter.reason for letter in letters)
