"""Address of the broker: a setting for Kafka, or a small file that the embedded broker writes when it starts.

The embedded broker takes another port at each start and keeps no messages, so every start is a new *epoch*. Offsets of
one epoch are invalid in another. Clients call `find_stream` again whenever they lose their broker.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.errors import StreamUnavailable
from infra.files import write_atomically
from infra.settings import Settings

FILE = "stream.json"
DURABLE = "kafka"


@dataclass(frozen=True)
class StreamAddress:
    """`broker` is host:port. Offsets are comparable only within one `epoch`."""

    broker: str
    epoch: str
    is_embedded: bool

    def write(self, settings: Settings) -> None:
        write_atomically(address_file(settings), json.dumps(asdict(self)))


def address_file(settings: Settings) -> Path:
    return settings.run_dir / FILE


def find_stream(settings: Settings) -> StreamAddress:
    """Return the broker's address. Raises `StreamUnavailable` if no broker is configured or running."""
    if settings.stream is not None:
        return StreamAddress(settings.stream, DURABLE, is_embedded=False)
    try:
        return StreamAddress(**json.loads(address_file(settings).read_text()))
    except (OSError, ValueError, TypeError) as exc:
        raise StreamUnavailable(
            f"no event stream is running: {address_file(settings)} does not exist", hint="run: lab up"
        ) from exc
