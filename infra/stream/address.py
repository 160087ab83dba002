"""Where the broker is: a setting (Kafka), or a small file that the embedded broker writes when it starts.

The embedded broker takes another port at each start and remembers nothing, so every start is a new *epoch*: offsets of
one epoch mean nothing in another. Clients look here again whenever they lose their broker.
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
    """`broker` is host:port; `epoch` names the life of what the broker remembers."""

    broker: str
    epoch: str
    is_embedded: bool

    def write(self, settings: Settings) -> None:
        write_atomically(address_file(settings), json.dumps(asdict(self)))


def address_file(settings: Settings) -> Path:
    return settings.run_dir / FILE


def find_stream(settings: Settings) -> StreamAddress:
    """Raises `StreamUnavailable` where no broker is known."""
    if settings.stream is not None:
        return StreamAddress(settings.stream, DURABLE, is_embedded=False)
    try:
        return StreamAddress(**json.loads(address_file(settings).read_text()))
    except (OSError, ValueError, TypeError) as exc:
        raise StreamUnavailable(
            f"no event stream is running: {address_file(settings)} is not there", hint="lab up starts one"
        ) from exc
