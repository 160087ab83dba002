"""A producer without a broker counts dropped events and never blocks its caller."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import CollectorRegistry

from infra.errors import StreamUnavailable
from infra.stream.address import StreamAddress
from infra.stream.metrics import StreamMetrics
from infra.stream.producer import EventProducer, ProducerLimits
from tests.support.containers import wait_for
from tests.support.stream import Tick


def nowhere() -> StreamAddress:
    raise StreamUnavailable("no broker")


def count(metric: Any, *labels: str) -> float:
    value: float = metric.labels(*labels)._value.get()
    return value


def test_producer_drops_and_counts_events_that_cannot_be_encoded() -> None:
    metrics = StreamMetrics(CollectorRegistry(), ("t",))
    producer = EventProducer(nowhere, ["t"], metrics)
    broken = Tick(object(), 0.0)  # type: ignore[arg-type]
    assert not producer.hand_over("t", broken)
    assert producer.offer("t", lambda: broken)
    producer.start()
    wait_for(lambda: count(metrics.dropped, "t", "not_encodable") == 2, "both to be counted")
    producer.close()
    assert count(metrics.offered, "t") == 2


def test_producer_drops_and_counts_events_when_the_buffer_is_full() -> None:
    metrics = StreamMetrics(CollectorRegistry(), ("t",))
    producer = EventProducer(nowhere, ["t"], metrics, ProducerLimits(offered=50, waiting_bytes=5_000, retry_s=0.01))
    producer.start()
    started = time.perf_counter()
    for number in range(500):
        producer.offer("t", lambda number=number: Tick(number, 0.0))
        time.sleep(0.0005)
    assert time.perf_counter() - started < 60
    producer.close()
    offered, acked = count(metrics.offered, "t"), count(metrics.acked, "t")
    dropped = sum(count(metrics.dropped, "t", reason) for reason in ("buffer_full", "closed"))
    assert offered == 500
    assert acked == 0
    assert dropped == 500
