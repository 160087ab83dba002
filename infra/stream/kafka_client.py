"""The adapter to kafka-python: consumers and topics. No exception of kafka-python leaves this module.

The in-memory broker of the embedded setting needs an older protocol (`api_version`), creates topics by itself, and
assigns partitions without the group protocol.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError
from kafka.structs import MemberState

from infra.errors import StreamUnavailable
from infra.stream.address import StreamAddress
from infra.stream.producer_client import ProducerClient

PARTITIONS = 4
"""Partitions of each topic. The in-memory broker creates the same number."""
CONNECT_S = 2.0
ANSWER_MS = 3_000
"""Timeout of one request to a broker that accepts connections."""
DAY_MS = 86_400_000
MAX_EVENT_BYTES = 900_000
"""Size limit of one event, below the brokers' default `message.max.bytes`."""
logging.getLogger("kafka").setLevel(logging.CRITICAL)  # it logs each lost connection; the caller reports it


@contextmanager
def kafka_errors(what: str) -> Iterator[None]:
    """Convert the exceptions of kafka-python to `StreamUnavailable`."""
    try:
        yield
    except (KafkaError, OSError, ValueError, AssertionError) as exc:
        raise StreamUnavailable(f"could not {what}: {exc or type(exc).__name__}") from exc


def open_producer(address: StreamAddress) -> ProducerClient:
    """Open a producer that waits for every replica. Raises `StreamUnavailable` at once if the port is closed."""
    with kafka_errors(f"reach the broker at {address.broker}"):
        check_port_open(address)
        return ProducerClient(address)


class Assigned(ConsumerRebalanceListener):  # type: ignore[misc]
    """Records the partitions that the group assigned to a client, and pauses them.

    `infra.stream.places.settle` seeks and resumes them. The callbacks here cannot, because they run in the client's own
    loop, where no request to the broker is possible.
    """

    def __init__(self) -> None:
        self.client: Any = None
        self.fresh: set[TopicPartition] = set()
        self.changes = 0

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        self.changes += 1
        self.fresh = set(assigned)
        self.client.pause(*assigned)

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        self.changes += 1
        self.fresh -= set(revoked)


def open_consumer(
    address: StreamAddress, topics: Sequence[str], group: str | None, assigned: Assigned | None = None
) -> Any:
    """Open a `KafkaConsumer` of `group` that commits by hand; without a group, one that reads all partitions.

    Without committed offsets, reading starts at the beginning of each partition. With `assigned`, partitions stay
    paused until `infra.stream.places.settle` has chosen their offsets.
    """
    with kafka_errors(f"reach the broker at {address.broker}"):
        client = KafkaConsumer(
            **_common(address),
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=250,
            request_timeout_ms=15_000,
            session_timeout_ms=6_000,  # the brokers' minimum; a killed member keeps its partitions for this long
            heartbeat_interval_ms=2_000,
            metadata_max_age_ms=5_000,
        )
        if assigned is not None:
            assigned.client = client
        if group is not None and not address.is_embedded:
            client.subscribe(list(topics), listener=assigned)
            # This request loads the partitions before the client joins the group. A client that loads them later joins
            # again, and in kafka-python 3.0 that join never ends if a poll ends between the group's two responses.
            client.end_offsets([TopicPartition(topic, 0) for topic in topics], timeout_ms=ANSWER_MS)
            return client
        # the in-memory broker takes 9 s to readmit a member, and the embedded setting has one consumer per group
        places = partitions_of(client, topics, address)
        client.assign(places)
        if assigned is not None:
            assigned.on_partitions_assigned(places)
        return client


def is_in_group(client: Any) -> bool:
    """True if the client has partitions, or if its group is stable and has none left for it."""
    return bool(client.assignment()) or client.group_metadata().state == MemberState.STABLE


def epoch_of(address: StreamAddress, topics: Sequence[str]) -> str:
    """The epoch of these topics. It changes when a topic is recreated, because offsets then start at 0 again.

    Raises `StreamUnavailable` while a topic does not exist.
    """
    if address.is_embedded:
        return address.epoch
    with kafka_errors("list the topics"):
        admin = KafkaAdminClient(**_common(address))
        try:
            found = {
                topic["name"]: str(topic["topic_id"])
                for topic in admin.describe_topics(list(topics))
                if not topic["error_code"]
            }
        finally:
            admin.close()
    if missing := set(topics) - set(found):
        raise StreamUnavailable(f"topics {', '.join(sorted(missing))} do not exist yet")
    return address.epoch + hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:8]


def partitions_of(client: Any, topics: Sequence[str], address: StreamAddress) -> list[TopicPartition]:
    """Every partition of the topics. Raises `StreamUnavailable` while a topic does not exist."""
    if address.is_embedded:  # a metadata request would wait forever for a broker that has just died
        return [TopicPartition(topic, number) for topic in topics for number in range(PARTITIONS)]
    found = [TopicPartition(topic, number) for topic in topics for number in client.partitions_for_topic(topic) or ()]
    if {place.topic for place in found} != set(topics):
        raise StreamUnavailable(f"topics {', '.join(topics)} do not exist yet")
    return found


def make_topics(address: StreamAddress, topics: Sequence[str]) -> None:
    """Create the missing topics. The in-memory broker creates a topic at its first use."""
    if address.is_embedded:
        return
    with kafka_errors("create topics"):
        admin = KafkaAdminClient(**_common(address))
        try:
            missing = set(topics) - set(admin.list_topics())
            kept = {"retention.ms": str(DAY_MS), "retention.bytes": str(256_000_000)}
            wanted = [NewTopic(name, PARTITIONS, 1, topic_configs=kept) for name in sorted(missing)]
            if wanted:
                admin.create_topics(wanted)
        except TopicAlreadyExistsError:
            pass  # another process created the topic at the same time
        finally:
            admin.close()


def _common(address: StreamAddress) -> dict[str, Any]:
    check_port_open(address)
    common: dict[str, Any] = {
        "bootstrap_servers": address.broker,
        "client_id": f"lab-{os.getpid()}",
        "bootstrap_timeout_ms": 3_000,
        "reconnect_backoff_max_ms": 1_000,
    }
    if address.is_embedded:
        common["api_version"] = (2, 0)
    return common


def check_port_open(address: StreamAddress) -> None:
    """Raise `OSError` if the broker's port is closed. The client libraries take longer to fail."""
    host, _, port = address.broker.rpartition(":")
    socket.create_connection((host, int(port)), CONNECT_S).close()
