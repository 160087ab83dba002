"""Prometheus metrics of the stream. Counting invariants expose every lost event.

Producer: offered = acknowledged + dropped + waiting. Consumer: read = applied + duplicate + dead-lettered. Both
sides: acknowledged = read + lag + lost. Only the in-memory broker, or one past its retention, loses messages.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

DROPPED = ("buffer_full", "too_large", "not_encodable", "expired", "closed")
RESULTS = ("applied", "duplicate", "dead_letter")


class StreamMetrics:
    """Metrics of one process, registered in its `CollectorRegistry`."""

    def __init__(self, registry: CollectorRegistry, topics: tuple[str, ...]) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"lab_stream_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"lab_stream_{name}", text, labels, registry=registry)

        self.offered = counter("offered", "events handed to the producer", "topic")
        self.acked = counter("acked", "events that the broker has acknowledged", "topic")
        self.dropped = counter("dropped", "events that the producer dropped, by reason", "topic", "reason")
        self.waiting = gauge("waiting", "events that wait for the broker")
        self.up = gauge("up", "1 while the broker answers the producer")
        self.read = counter("read", "messages read, by outcome", "topic", "result")
        self.late = counter(
            "late", "events older than the consumer's limit for late events; they are handled as well", "topic"
        )
        self.out_of_order = counter("out_of_order", "events older than an earlier event of their partition", "topic")
        self.lag = gauge("lag", "messages that the consumer has not handled yet", "topic", "group")
        self.lost = counter("lost", "messages that the broker deleted before they were read", "topic")
        self.rebuilt = counter("consumer_rebuilt", "consumers recreated, by reason", "group", "reason")
        self.seconds = gauge(
            "delay_seconds", "seconds from acknowledgement by the broker to the end of handling, last batch", "topic"
        )
        for topic in topics:  # export zeros: Prometheus' `increase` misses the first value of a new series
            for one in (self.offered, self.acked, self.lost):
                one.labels(topic)
            for reason in DROPPED:
                self.dropped.labels(topic, reason)
            for result in RESULTS:
                self.read.labels(topic, result)
        self._children: dict[tuple[Counter, str], Counter] = {}

    def of(self, counter: Counter, topic: str) -> Counter:
        """The counter of one topic, cached: the library's `labels` look-up costs more than the increment."""
        known = self._children.get((counter, topic))
        if known is None:
            known = self._children[counter, topic] = counter.labels(topic)
        return known
