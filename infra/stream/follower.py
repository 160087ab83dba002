"""Reads every event of some topics, such as new posts, into each replica.

The follower has no consumer group and commits no offsets. Each process reads every message that the broker still has,
then the new ones. `apply` must therefore be idempotent.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra.errors import DependencyError, LabError
from infra.stream.address import StreamAddress
from infra.stream.event import Codec, PoisonMessage
from infra.stream.kafka_client import kafka_errors, open_consumer
from infra.stream.metrics import StreamMetrics

log = logging.getLogger(__name__)
RETRY_S, POLL_MS = 1.0, 100


class EventFollower:
    """Follows topics in its own thread between `start` and `close`.

    The follower counts poison messages and skips them; `EventConsumer` writes their dead letters.
    """

    def __init__(
        self,
        find: Callable[[], StreamAddress],
        codecs: Mapping[str, Codec],
        apply: Callable[[Sequence[Any]], object],
        metrics: StreamMetrics,
    ) -> None:
        self._find, self._codecs, self._apply, self._metrics = find, codecs, apply, metrics
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event-follower", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except DependencyError as exc:
                log.debug("cannot read events, will retry: %s", exc)
                self._stop.wait(RETRY_S)

    def _follow(self) -> None:
        address = self._find()
        client = open_consumer(address, sorted(self._codecs), None)
        try:
            while not self._stop.is_set() and self._find() == address:
                with kafka_errors("follow"):
                    polled = client.poll(timeout_ms=POLL_MS, max_records=500)
                if records := [record for found in polled.values() for record in found]:
                    self._take(records)
        finally:
            client.close()

    def _take(self, records: Sequence[Any]) -> None:
        events = []
        for record in records:
            try:
                events.append(self._codecs[record.topic].decode(record.value or b""))
            except PoisonMessage:
                self._metrics.read.labels(record.topic, "dead_letter").inc()
                continue
            self._metrics.read.labels(record.topic, "applied").inc()
        try:
            self._apply(events)
        except LabError as exc:
            log.error("cannot use the events: %s", exc)
