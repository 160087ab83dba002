"""Reads topics as a member of a consumer group, passes batches to an effect, and commits after the effect is done.

Every message is therefore handled at least once, and the consumer skips each `event_id` that was handled already. If
the process is killed between effect and commit, the batch arrives again; `Effect.resume` and `Effect.known` make the
repetition harmless. A poison message goes to the dead letters with its reason and does not stop the consumer. A
consumer that makes no progress while messages wait is rebuilt.
"""

from __future__ import annotations

import base64
import logging
import math
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, ClassVar, NamedTuple, Protocol

from infra.errors import DependencyError, StreamUnavailable
from infra.stream.address import StreamAddress
from infra.stream.event import Codec, PoisonMessage
from infra.stream.kafka_client import ANSWER_MS, Assigned, epoch_of, is_in_group, kafka_errors, open_consumer
from infra.stream.metrics import StreamMetrics
from infra.stream.places import settle
from infra.stream.producer import EventProducer

log = logging.getLogger(__name__)
KEPT_BYTES = 100_000
_TOPIC, _PLACE = attrgetter("topic"), attrgetter("topic", "partition")


class Received(NamedTuple):
    """An event and its position on the stream.

    `acked_s` is the broker's wall-clock timestamp in seconds; `name` is the unique `topic/event_id`. A named tuple is
    constructed in a third of the time of a frozen dataclass.
    """

    event: Any
    topic: str
    partition: int
    offset: int
    acked_s: float
    value: bytes = b""
    name: str = ""


@dataclass(frozen=True)
class DeadLetter:
    """A message that could not be handled: its position, the reason, and its bytes as base64."""

    SCHEMA: ClassVar[str] = "lab.dead_letter"
    VERSION: ClassVar[int] = 1

    topic: str
    partition: int
    offset: int
    reason: str
    value: str
    died_s: float

    @property
    def event_id(self) -> str:
        return f"{self.topic}-{self.partition}-{self.offset}"

    @property
    def event_ts(self) -> float:
        return self.died_s

    @property
    def key(self) -> str:
        return self.topic


class Effect(Protocol):
    """What a consumer does with events. If `apply` raises a `DependencyError`, the consumer retries the batch later."""

    def apply(self, batch: Sequence[Received]) -> None: ...

    def resume(self, epoch: str) -> Mapping[tuple[str, int], int]:
        """Offsets to resume from, by topic and partition. They override the offsets that the group committed."""
        ...

    def known(self) -> Iterable[str]:
        """Names (`topic/event_id`) of events handled before this process started, as far back as duplicates occur."""
        ...

    def tick(self) -> None:
        """Called between batches, several times a second."""
        ...


class SeenIds:
    """Set of the `size` ids that were added last."""

    def __init__(self, size: int, ids: Iterable[str] = ()) -> None:
        self._size, self._ids = size, OrderedDict.fromkeys(ids)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._ids

    def add(self, ids: Iterable[str]) -> None:
        self._ids.update(dict.fromkeys(ids))
        while len(self._ids) > self._size:
            self._ids.popitem(last=False)


@dataclass(frozen=True)
class ConsumerLimits:
    """Limits of one consumer.

    A batch is handled when it has `batch` messages or about `batch_bytes`, or `linger_s` after its first message. A
    consumer without progress for `stalled_s` while messages wait is rebuilt. An event older than `late_s` counts as
    late. The consumer remembers the last `remembered` ids to detect duplicates.
    """

    batch: int = 500
    batch_bytes: int = 8_000_000
    linger_s: float = 0.0
    poll_ms: int = 250
    stalled_s: float = 20.0
    late_s: float = 3600.0
    lag_every_s: float = 1.0
    retry_s: float = 1.0
    remembered: int = 200_000


@dataclass
class EventConsumer:
    """Consumes topics in its own thread between `start` and `close`. `codecs` maps each topic to its codec."""

    find: Callable[[], StreamAddress]
    group: str
    codecs: Mapping[str, Codec]
    effect: Effect
    metrics: StreamMetrics
    dead_letters: tuple[EventProducer, str]
    now: Callable[[], float]
    limits: ConsumerLimits = ConsumerLimits()
    last_error: str = ""
    _newest: dict[tuple[str, int], float] = field(default_factory=dict)
    _place: dict[tuple[str, int], int] = field(default_factory=dict)
    _end: dict[tuple[str, int], int] = field(default_factory=dict)
    _epoch: str = ""

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._seen = SeenIds(self.limits.remembered)
        self._thread = threading.Thread(target=self.run, name=f"consumer-{self.group}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def run(self) -> None:
        """Consume until closed. After a `DependencyError` the consumer reconnects."""
        while not self._stop.is_set():
            try:
                self._consume()
            except DependencyError as exc:
                self.last_error = str(exc)
                self.metrics.rebuilt.labels(self.group, exc.reason).inc()
                log.warning("%s: %s; trying again", self.group, exc)
                self._stop.wait(self.limits.retry_s)

    def _consume(self) -> None:
        address = self.find()
        epoch = epoch_of(address, sorted(self.codecs))
        self._enter(epoch)
        assigned = Assigned()
        client = open_consumer(address, sorted(self.codecs), self.group, assigned)
        try:
            self._newest.clear()
            moved_s = looked_s = time.monotonic()
            while not self._stop.is_set():
                if assigned.fresh:
                    self._settle(assigned, epoch)
                records = self._gather(client, assigned)
                if records:
                    self._handle(records, address)
                    with kafka_errors("commit"):
                        client.commit(timeout_ms=ANSWER_MS)
                    moved_s = time.monotonic()
                self.effect.tick()
                if time.monotonic() - looked_s > self.limits.lag_every_s:
                    looked_s = time.monotonic()
                    if self.find() != address:
                        raise StreamUnavailable("the broker has a new address")
                    if self._lag(client) == 0 and is_in_group(client):
                        moved_s = looked_s
                    if looked_s - moved_s > self.limits.stalled_s:
                        raise StreamUnavailable(
                            f"no progress for {looked_s - moved_s:.0f} s although messages or a rebalance wait"
                        )
                    self.last_error = ""
        finally:
            client.close(autocommit=False, timeout_ms=ANSWER_MS)

    def _handle(self, records: Sequence[Any], address: StreamAddress) -> None:
        """Write dead letters for poison messages, then apply the effect, with retries while a dependency is down.

        The consumer keeps its partitions during the retries. Dead letters are written first because a restart resumes
        at the offsets that the effect stored, which may lie past the poison messages.
        """
        batch, dead, duplicates = self._sorted(records)
        self._notice_times(batch)
        self._send_dead_letters(dead)
        last = batch[-1] if batch else None
        while batch:
            try:
                self._apply(list(batch), batch)
            except StreamUnavailable:
                raise  # no dead letter can be written: restart from the committed offsets
            except DependencyError as exc:
                self.last_error = str(exc)
                log.warning("%s: %s; trying again", self.group, exc)
                if self._stop.wait(self.limits.retry_s) or self.find() != address:
                    raise
        self._count_read(duplicates, "duplicate")
        self._place.update({(record.topic, record.partition): record.offset + 1 for record in records})
        if last is not None:
            self.metrics.seconds.labels(last.topic).set(max(0.0, time.time() - last.acked_s))

    def _settle(self, assigned: Assigned, epoch: str) -> None:
        """Seek to the offsets of the effect or of the group, and load the ids of events that were handled before."""
        settle(assigned, self.effect.resume(epoch), lambda topic, n: self.metrics.lost.labels(topic).inc(n), ANSWER_MS)
        self._seen.add(self.effect.known())

    def _gather(self, client: Any, assigned: Assigned) -> list[Any]:
        """Messages that arrive within `linger_s` of the first one, at most a batch.

        Returns an empty list if the group reassigned partitions meanwhile: their new owner reads these messages again
        from the committed offsets.
        """
        found: list[Any] = []
        until, size, changes = 0.0, 0, assigned.changes
        while len(found) < self.limits.batch and size < self.limits.batch_bytes:
            with kafka_errors("read"):
                polled = client.poll(timeout_ms=self.limits.poll_ms, max_records=self.limits.batch - len(found))
            if assigned.changes != changes:
                return []
            if polled and not found:
                until = time.monotonic() + self.limits.linger_s
            new = [record for records in polled.values() for record in records]
            size += sum(len(record.value or b"") for record in new)
            found += new
            if self._stop.is_set() or time.monotonic() >= until:
                break
        return found

    def _enter(self, epoch: str) -> None:
        """Count unread messages of the previous epoch as lost when the broker's epoch changes."""
        if self._epoch and epoch != self._epoch:
            for (topic, partition), end in self._end.items():
                gone = end - self._place.get((topic, partition), 0)
                if gone > 0:
                    log.error("%s: the broker deleted %d messages of %s before they were read", self.group, gone, topic)
                    self.metrics.lost.labels(topic).inc(gone)
            self._end.clear()
            self._place.clear()
        self._epoch = epoch

    def _sorted(self, records: Sequence[Any]) -> tuple[list[Received], list[tuple[Received, str]], list[Any]]:
        """Split records into new events, poison messages with their reasons, and duplicates."""
        batch: list[Received] = []
        dead: list[tuple[Received, str]] = []
        duplicates: list[Any] = []
        names: set[str] = set()
        seen, codecs = self._seen, self.codecs
        for record in records:
            topic = record.topic
            try:
                event_id, event = codecs[topic].read(record.value or b"")
            except PoisonMessage as exc:
                dead.append((_received(record, None, ""), str(exc)))
                continue
            name = f"{topic}/{event_id}"
            if name in seen or name in names:
                duplicates.append(record)
                continue
            names.add(name)
            batch.append(_received(record, event, name))
        return batch, dead, duplicates

    def _apply(self, batch: Sequence[Received], left: list[Received]) -> None:
        """Apply the effect to the whole batch. If the effect has a bug, bisect the batch to find the failing event.

        Handled events are removed from `left`, so that a retry does not apply them again.
        """
        try:
            self.effect.apply(batch)
        except DependencyError:
            raise
        except Exception as exc:
            if len(batch) > 1:
                half = len(batch) // 2
                self._apply(batch[:half], left)
                self._apply(batch[half:], left)
                return
            log.exception("%s: the effect failed", self.group)
            self._send_dead_letters([(batch[0], f"the effect failed: {type(exc).__name__}: {exc}")])
        else:
            self._seen.add(received.name for received in batch)
            self._count_read(batch, "applied")
        del left[: len(batch)]

    def _send_dead_letters(self, dead: Sequence[tuple[Received, str]]) -> None:
        producer, topic = self.dead_letters
        letters = [
            (topic, DeadLetter(record.topic, record.partition, record.offset, why, _as_text(record.value), self.now()))
            for record, why in dead
        ]
        if letters:
            log.warning("%s: %d dead letters, the first: %s", self.group, len(letters), dead[0][1])
            producer.publish(letters, 5.0)
        self._count_read([record for record, _ in dead], "dead_letter")

    def _count_read(self, records: Sequence[Any], result: str) -> None:
        for topic, count in Counter(map(_TOPIC, records)).items():
            self.metrics.read.labels(topic, result).inc(count)

    def _notice_times(self, batch: Sequence[Received]) -> None:
        """Count events that are late or out of order within their partition."""
        late: list[str] = []
        out_of_order: list[str] = []
        late_ts = self.now() - self.limits.late_s
        for place, some in groupby(batch, _PLACE):  # a batch is ordered by partition
            newest = self._newest.get(place, -math.inf)
            for received in some:
                at_ts = received.event.event_ts
                if at_ts < newest:
                    out_of_order.append(received.topic)
                else:
                    newest = at_ts
                if at_ts < late_ts:
                    late.append(received.topic)
            self._newest[place] = newest
        for metric, topics in ((self.metrics.late, late), (self.metrics.out_of_order, out_of_order)):
            for topic, count in Counter(topics).items():
                metric.labels(topic).inc(count)

    def _lag(self, client: Any) -> int:
        """Number of unread messages in the assigned partitions, over all topics."""
        with kafka_errors("read the lag"):
            mine = list(client.assignment())
            ends = client.end_offsets(mine, timeout_ms=ANSWER_MS)
            lags = dict.fromkeys(self.codecs, 0)
            for place in mine:
                at = client.position(place, timeout_ms=ANSWER_MS)
                self._place[place.topic, place.partition] = at
                self._end[place.topic, place.partition] = ends[place]
                lags[place.topic] += max(0, ends[place] - at)
        for topic, lag in lags.items():
            self.metrics.lag.labels(topic, self.group).set(lag)
        return sum(lags.values())


def _received(record: Any, event: Any, name: str) -> Received:
    at_s = record.timestamp / 1000
    return Received(event, record.topic, record.partition, record.offset, at_s, record.value or b"", name)


def _as_text(value: bytes | None) -> str:
    """The first `KEPT_BYTES` of a message as base64."""
    return base64.b64encode((value or b"")[:KEPT_BYTES]).decode()
