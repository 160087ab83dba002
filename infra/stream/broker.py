"""The embedded broker: librdkafka's in-memory broker in its own process. `python -m infra.stream.broker`.

The broker speaks Kafka's protocol over a socket, with groups and commits. It is a test tool: it keeps no message across
restarts, and only the last few megabytes of each partition. The process ends with its supervisor.
"""

from __future__ import annotations

import logging
import secrets
import signal
import threading

from confluent_kafka import Producer

from infra.parent import stop_with_parent
from infra.settings import Settings
from infra.stream.address import StreamAddress, address_file
from infra.telemetry.logs import configure_logs

log = logging.getLogger(__name__)


def run_broker(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stop_with_parent(settings.parent_pipe)
    # librdkafka requires an address; the mock broker replaces this placeholder
    owner = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = owner.list_topics(timeout=10).brokers.values()
    StreamAddress(f"{broker.host}:{broker.port}", secrets.token_hex(4), is_embedded=True).write(settings)
    log.info("the in-memory broker is at %s:%s; a restart deletes its events", broker.host, broker.port)
    try:
        while not stopped.wait(1.0):
            owner.poll(0)
    finally:
        address_file(settings).unlink(missing_ok=True)


if __name__ == "__main__":
    configure_logs()
    run_broker(Settings())
