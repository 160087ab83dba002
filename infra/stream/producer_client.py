"""The adapter to librdkafka's producer. No exception of confluent-kafka leaves this module.

librdkafka batches, sends and retries in native threads. A pure-Python client competes with the requests for the
interpreter lock: at some hundred events a second it delayed requests by tens of milliseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaException, Producer

from infra.errors import StreamUnavailable
from infra.stream.address import StreamAddress

DELIVERY_S = 4.0
"""Delivery timeout in seconds. The caller may then send the event again."""
POLL_S = 0.1
Done = Callable[[StreamUnavailable | None], None]


class ProducerClient:
    """Thread-safe producer that waits for every replica and reports events not delivered in time as failed."""

    def __init__(self, address: StreamAddress) -> None:
        self._client = Producer(
            {
                "bootstrap.servers": address.broker,
                "client.id": "lab",
                "acks": "all",
                "linger.ms": 5,
                "max.in.flight.requests.per.connection": 1,  # a retry must not reorder events
                "partitioner": "murmur2_random",  # the default of Kafka's Java client
                "message.max.bytes": 1_000_000,
                "queue.buffering.max.kbytes": 64_000,
                "message.timeout.ms": int(DELIVERY_S * 1000),
                "request.timeout.ms": 2_000,
                "socket.timeout.ms": 3_000,
                "socket.nagle.disable": True,
                "reconnect.backoff.max.ms": 1_000,
                "log_level": 0,  # librdkafka logs each lost connection; `EventProducer` reports it
            }
        )
        self._failure: StreamUnavailable | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._report, name="event-reports", daemon=True)
        self._thread.start()

    def send(self, topic: str, *, value: bytes, key: bytes, done: Done | None = None) -> None:
        """Queue a message without waiting. Another thread calls `done(None)` on acknowledgement, else `done(error)`.

        Raises `StreamUnavailable` if librdkafka's queue is full or it rejects the message.
        """
        try:
            self._client.produce(topic, value=value, key=key, on_delivery=self._on_delivery(done))
        except (BufferError, KafkaException, ValueError) as exc:
            raise StreamUnavailable(f"could not send: {exc}") from exc

    def flush(self, timeout: float) -> None:
        """Wait until the broker has acknowledged every message.

        Raises `StreamUnavailable` after `timeout` seconds, or if a message sent without `done` failed.
        """
        left = self._client.flush(timeout)
        if self._failure is not None:
            raise self._failure
        if left:
            raise StreamUnavailable(f"{left} messages were not acknowledged within {timeout:.0f} s")

    def close(self, timeout: float = DELIVERY_S + 2.0) -> None:
        """Send queued messages for at most `timeout` seconds, then fail the rest through their `done` callbacks."""
        self._client.flush(timeout)
        self._client.purge()
        self._client.flush(1.0)
        self._ended.set()
        if self._thread is not threading.current_thread():
            self._thread.join(2 * POLL_S + 1.0)

    def _report(self) -> None:
        while not self._ended.is_set():
            self._client.poll(POLL_S)

    def _on_delivery(self, done: Done | None) -> Callable[[Any, Any], None]:
        def report(error: Any, _: Any) -> None:
            failure = None if error is None else StreamUnavailable(f"could not send: {error.str()}")
            if done is not None:
                done(failure)
            elif failure is not None:
                self._failure = failure

        return report
