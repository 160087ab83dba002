"""Sends events to the stream from its own threads, so that a request never waits for the broker.

`offer` queues an event and returns; an event that does not fit into the buffer is dropped and counted. `publish`
returns after the broker has acknowledged the events, for callers that need durability. The producer retries an event
that the broker did not accept in time, so a temporary outage loses no event until the buffer is full or
`patience_s` has passed.
"""

from __future__ import annotations

import logging
import mmap
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field, replace

from infra.errors import StreamUnavailable
from infra.stream.address import StreamAddress
from infra.stream.event import Encoded, Event, encode
from infra.stream.kafka_client import MAX_EVENT_BYTES, make_topics, open_producer
from infra.stream.metrics import StreamMetrics
from infra.stream.producer_client import ProducerClient

log = logging.getLogger(__name__)
CLOSE_S = 3.0
LOOK_S = 1.0
"""interval at which a connected producer looks up the broker's address again"""
PARKED_FROM = 16_384
"""Smallest value in bytes that waits in its own memory pages. Partly filled pages cost more for smaller values."""


@dataclass(frozen=True)
class ProducerLimits:
    """Limits of one producer.

    At most `offered` events wait for encoding, `waiting_bytes` of encoded events wait for the broker, and `in_flight`
    events are sent but not acknowledged. An event expires after `patience_s`. The encoder runs every `gather_s`, and
    events without a waiting caller are sent every `send_s`: each round of encoding, sending and acknowledging wakes
    threads, which costs more than the events themselves.
    """

    offered: int = 512
    gather_s: float = 0.2
    send_s: float = 0.05
    waiting_bytes: int = 32_000_000
    in_flight: int = 1_000
    patience_s: float = 120.0
    retry_s: float = 0.5


@dataclass
class _Waiting:
    """An event that the broker has not acknowledged. `done`, if set, completes with the acknowledgement or fails."""

    encoded: Encoded
    since: float
    done: Future[None] | None = None

    pages: mmap.mmap | None = None

    def park(self) -> None:
        """Move a large value out of the heap before a long wait.

        Values that stay among the short-lived arrays of requests fragment the heap: 32 MB of waiting events made a
        service grow by 400 MB.
        """
        value = self.encoded.value
        if len(value) >= PARKED_FROM:
            self.pages = mmap.mmap(-1, len(value))
            self.pages[:] = value
            self.encoded = replace(self.encoded, value=b"")

    @property
    def size(self) -> int:
        return len(self.encoded.value) if self.pages is None else len(self.pages)

    @property
    def value(self) -> bytes:
        return self.encoded.value if self.pages is None else self.pages[:]


@dataclass
class EventProducer:
    """Sends events between `start` and `close`. `find` returns the broker's address; missing `topics` are created."""

    find: Callable[[], StreamAddress]
    topics: Sequence[str]
    metrics: StreamMetrics
    limits: ProducerLimits = ProducerLimits()
    last_error: str = "not connected yet"
    _offered: deque[tuple[str, Callable[[], Event]]] = field(default_factory=deque)
    _waiting: deque[_Waiting] = field(default_factory=deque)
    _bytes: int = 0
    _in_flight: int = 0

    def __post_init__(self) -> None:
        self._changed, self._closed = threading.Condition(), threading.Event()
        self._closing, self._is_well, self._is_urgent = False, True, False
        self._client: ProducerClient | None = None
        self._address: StreamAddress | None = None
        self._found_s = 0.0
        self._broken: ProducerClient | None = None
        # One thread encodes and one sends: offered events are large (a request with all its features) and must not
        # pile up while the sender waits for a broker that is down.
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for name, run in (("event-encoder", self._encode), ("event-producer", self._run))
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def is_up(self) -> bool:
        """False from the first failed event until the next acknowledged one.

        With no retry pending, the broker's state is unknown until the next send, so a connected producer counts as up.
        """
        return self._client is not None and (self._is_well or not (self._waiting or self._in_flight))

    def offer(self, topic: str, make: Callable[[], Event]) -> bool:
        """Queue an event that the encoder builds with `make`, off the request path. Returns False if the queue is full.

        A refused event is counted as dropped.
        """
        self.metrics.of(self.metrics.offered, topic).inc()
        if len(self._offered) >= self.limits.offered:
            self.metrics.dropped.labels(topic, "buffer_full").inc()
            return False
        self._offered.append((topic, make))
        return True

    def hand_over(self, topic: str, event: Event) -> bool:
        """Encode an event in the calling thread and send it a moment later, for events that are cheap to encode.

        Returns False if the event cannot be encoded or the buffer is full. Such an event is counted as dropped.
        """
        self.metrics.of(self.metrics.offered, topic).inc()
        encoded = self._encoded(topic, lambda: event)
        return encoded is not None and self._keep(_Waiting(encoded, time.monotonic()), may_gather=True)

    def publish(self, events: Sequence[tuple[str, Event]], timeout_s: float) -> None:
        """Return when the broker has acknowledged every event.

        Raises `StreamUnavailable` after `timeout_s` without every acknowledgement, or at once if the broker is down or
        the buffer is full. Some of the events may still arrive. A retry must send the same ids.
        """
        if not self.is_up:
            raise StreamUnavailable(f"the event stream does not answer: {self.last_error}")
        until = time.monotonic() + timeout_s
        encoded = [encode(topic, event) for topic, event in events]
        futures = []
        for one in encoded:
            self.metrics.of(self.metrics.offered, one.topic).inc()
            done: Future[None] = Future()
            if not self._keep(_Waiting(one, time.monotonic(), done)):
                raise StreamUnavailable("the producer's queue is full")
            futures.append(done)
        for done in futures:
            try:
                done.result(max(0.0, until - time.monotonic()))
            except TimeoutError:
                raise StreamUnavailable(f"not acknowledged within {timeout_s:.1f} s") from None

    def close(self) -> None:
        """Send queued events for a few seconds, including those not yet encoded. The rest is counted as dropped."""
        self._closed.set()
        encoder, sender = self._threads
        if encoder.is_alive():
            encoder.join(CLOSE_S)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if sender.is_alive():
            sender.join(CLOSE_S + 1.0)

    def _keep(self, waiting: _Waiting, *, again: bool = False, may_gather: bool = False) -> bool:
        """Send the event or queue it, at the front if it was sent before.

        Returns False if the event is dropped: it is too large, the buffer is full, or the producer is closing.
        """
        size, topic = waiting.size, waiting.encoded.topic
        with self._changed:
            reason = ""
            if size > MAX_EVENT_BYTES:
                reason = "too_large"
            elif not again and self._bytes + size > self.limits.waiting_bytes:
                reason = "buffer_full"
            elif self._closing:
                reason = "closed"
            if reason:
                self.metrics.dropped.labels(topic, reason).inc()
                _fail(waiting, StreamUnavailable(f"an event was dropped: {reason}"))
                return False
            client = self._client
            if client is None or again or may_gather or self._waiting or not self._may_send():
                if not self._is_well:
                    waiting.park()
                self._bytes += size
                (self._waiting.appendleft if again else self._waiting.append)(waiting)
                if client is not None and not may_gather:  # without a client, the sender thread reconnects by itself
                    self._is_urgent = True
                    self._changed.notify_all()
                return True
            self._in_flight += 1
        self._send(client, waiting)
        return True

    def _may_send(self) -> bool:
        return self._is_well and self._broken is None and self._in_flight < self.limits.in_flight

    def _run(self) -> None:
        while not self._closing:
            if not self._connect():
                self._expire()
                with self._changed:
                    self._changed.wait(self.limits.retry_s)
                continue
            self._send_waiting()
            with self._changed:
                if not self._is_urgent or self._in_flight >= self.limits.in_flight:
                    self._changed.wait(self.limits.send_s)
        self._finish()

    def _encode(self) -> None:
        while not self._closed.wait(self.limits.gather_s):
            self._encode_offered()
        self._encode_offered()

    def _encode_offered(self) -> None:
        while self._offered:
            topic, make = self._offered.popleft()
            encoded = self._encoded(topic, make)
            if encoded is None:
                continue
            self._keep(_Waiting(encoded, time.monotonic()))
        self.metrics.waiting.set(len(self._waiting) + self._in_flight)

    def _encoded(self, topic: str, make: Callable[[], Event]) -> Encoded | None:
        try:
            return encode(topic, make())
        except (TypeError, ValueError) as exc:
            log.error("an event for %s cannot be written: %s", topic, exc)
            self.metrics.dropped.labels(topic, "not_encodable").inc()
            return None

    def _connect(self) -> bool:
        """Keep the client, or open a new one if it is missing or broken or the broker has a new address.

        Returns False while no broker answers.
        """
        is_connected = self._client is not None and self._broken is None
        if is_connected and time.monotonic() - self._found_s < LOOK_S:
            return True
        try:
            address, self._found_s = self.find(), time.monotonic()
            if is_connected and address == self._address:
                return True
            if self._client is not None:
                self._disconnect(self.last_error if self._broken is not None else "the broker has a new address")
            make_topics(address, self.topics)
            self._client, self._address = open_producer(address), address
        except StreamUnavailable as exc:
            self._disconnect(str(exc))
            return False
        log.info("producing to %s", address.broker)
        self._set_error("")
        return True

    def _set_error(self, error: str) -> None:
        self.last_error, self._is_well = error, not error
        self.metrics.up.set(0 if error else 1)

    def _disconnect(self, reason: str) -> None:
        self._set_error(reason)
        client, self._client, self._broken = self._client, None, None
        if client is not None:
            log.warning("the producer is disconnected: %s", reason)
            # `close` waits for events in flight, which then return to the queue; its own thread keeps the sender free
            threading.Thread(target=client.close, name="producer-closing", daemon=True).start()

    def _send_waiting(self) -> None:
        self._is_urgent = False
        while True:
            with self._changed:
                client = self._client
                if client is None or not self._waiting or not self._may_send():
                    return
                waiting = self._waiting.popleft()
                self._bytes -= waiting.size
                self._in_flight += 1
            self._send(client, waiting)

    def _send(self, client: ProducerClient, waiting: _Waiting) -> None:
        one = waiting.encoded
        try:
            client.send(
                one.topic, value=waiting.value, key=one.key, done=lambda gone: self._settle(client, waiting, gone)
            )
        except StreamUnavailable as exc:
            self._settle(client, waiting, exc)

    def _settle(self, client: ProducerClient, waiting: _Waiting, failure: StreamUnavailable | None) -> None:
        """Record the acknowledgement, or queue the failed event again until it expires.

        A failed client is replaced, because the broker may have moved.
        """
        with self._changed:
            had_room = self._in_flight < self.limits.in_flight
            self._in_flight -= 1
            if not had_room or failure is not None:
                self._changed.notify_all()
        if failure is None:
            self.metrics.of(self.metrics.acked, waiting.encoded.topic).inc()
            if waiting.done is not None and not waiting.done.done():
                waiting.done.set_result(None)
            if client is self._client and not self._is_well:
                self._set_error("")
            return
        if client is self._client:
            self._set_error(str(failure) or type(failure).__name__)
            self._broken = client
        if time.monotonic() - waiting.since > self.limits.patience_s:
            self._give_up(waiting)
        else:
            self._keep(waiting, again=True)

    def _give_up(self, waiting: _Waiting) -> None:
        self.metrics.dropped.labels(waiting.encoded.topic, "expired").inc()
        _fail(waiting, StreamUnavailable(f"not acknowledged within {self.limits.patience_s:.0f} s"))

    def _expire(self) -> None:
        while True:
            with self._changed:
                if not self._waiting or time.monotonic() - self._waiting[0].since <= self.limits.patience_s:
                    return
                waiting = self._waiting.popleft()
                self._bytes -= waiting.size
            self._give_up(waiting)

    def _finish(self) -> None:
        until = time.monotonic() + CLOSE_S
        self._send_waiting()
        while self._client is not None and self._in_flight and time.monotonic() < until:
            time.sleep(0.02)
        self._disconnect("closed")
        for waiting in self._waiting:
            self.metrics.dropped.labels(waiting.encoded.topic, "closed").inc()
            _fail(waiting, StreamUnavailable("the service is shutting down"))
        for topic, _ in self._offered:
            self.metrics.dropped.labels(topic, "closed").inc()


def _fail(waiting: _Waiting, reason: StreamUnavailable) -> None:
    if waiting.done is not None:
        try:
            waiting.done.set_exception(reason)
        except InvalidStateError:
            return
