"""What happened to a design, in one append-only file: shifts of its world, retrainings, gates, promotions, releases.

Each line of `timeline.jsonl` is a JSON object. Commands, builds and the monitor append to it, and `lab timeline` reads
it. A line is written at once and under a lock, so that processes do not mix their lines. A process that is killed
during a write leaves a torn line, which readers skip. A timeline that cannot be written is a warning in the log: no
build fails because of it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from infra.files import write_atomically
from infra.settings import Settings

Kind = Literal["shift", "drift", "retraining", "build", "gate", "shadow", "canary", "promotion", "rollback", "stop"]
FILE = "timeline.jsonl"
MOST_BYTES = 2_000_000
"""a larger file loses its older half"""


@dataclass(frozen=True)
class Entry:
    """One event. `at` is the wall clock's time (UTC, ISO), `world_ts` the world's time in seconds since the epoch, if
    known. `kind` may be one that a later version of the lab has added."""

    at: str
    kind: str
    text: str
    world_ts: float | None = None
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def row(self) -> dict[str, Any]:
        """The entry as JSON values."""
        return vars(self) | {"facts": dict(self.facts)}


def record(
    settings: Settings, design_name: str, kind: Kind, text: str, *, world_ts: float | None = None, **facts: Any
) -> None:
    """Append one event to the timeline of a design. `facts` are values that JSON can represent."""
    path = timeline_file(settings, design_name)
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = {"at": at, "kind": kind, "text": text, "world_ts": world_ts, "facts": facts}
    written = json.dumps(line, default=str).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            _append(path, written)
            if path.stat().st_size > MOST_BYTES:
                _drop_older_half(path)
    except OSError:
        logging.getLogger(__name__).warning("cannot write to %s: %s", path, text, exc_info=True)


def read(settings: Settings, design_name: str) -> list[Entry]:
    """The events of a design in the order in which they were recorded. A torn or foreign line is skipped."""
    try:
        content = timeline_file(settings, design_name).read_bytes()
    except FileNotFoundError:
        return []
    return [entry for line in content.splitlines() if (entry := _parsed(line)) is not None]


def timeline_file(settings: Settings, design_name: str) -> Path:
    return settings.design_root(design_name) / FILE


def _append(path: Path, written: bytes) -> None:
    """Write one line. If the last writer was killed during its write, the line begins after a line break."""
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        is_torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, b"\n" + written if is_torn else written)
    finally:
        os.close(handle)


def _drop_older_half(path: Path) -> None:
    """Keep the newest lines, half of `MOST_BYTES` at most, and at least one line."""
    lines = path.read_bytes().splitlines(keepends=True)
    first, size = len(lines) - 1, len(lines[-1])
    while first > 0 and size + len(lines[first - 1]) <= MOST_BYTES // 2:
        first -= 1
        size += len(lines[first])
    write_atomically(path, b"".join(lines[first:]).decode(errors="replace"))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _parsed(line: bytes) -> Entry | None:
    try:
        found = json.loads(line)
        datetime.fromisoformat(found["at"])
        world_ts = found.get("world_ts")
        if world_ts is not None:
            datetime.fromtimestamp(world_ts, UTC)
        return Entry(found["at"], str(found["kind"]), str(found["text"]), world_ts, dict(found.get("facts") or {}))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, OSError):
        return None
