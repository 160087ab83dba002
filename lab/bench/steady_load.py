"""A steady load of a few clients that records each request. Benchmarks and tests kill a replica meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

CLIENTS, PAUSE_S, PATIENCE_S = 6, 0.2, 20.0


@dataclass(frozen=True)
class Sent:
    """One request. `status` is 0 without an answer."""

    began: float
    ended: float
    status: int


@dataclass
class SteadyLoad:
    """Requests so far. Times are those of `time.monotonic`."""

    sent: list[Sent] = field(default_factory=list)

    def failed(self) -> list[Sent]:
        return [one for one in self.sent if one.status != 200]

    def since(self, at: float) -> list[Sent]:
        return [one for one in self.sent if one.began >= at]

    def between(self, began: float, ended: float) -> list[Sent]:
        """The requests that were in flight at some time from `began` to `ended`."""
        return [one for one in self.sent if one.began < ended and one.ended > began]


@contextmanager
def steady_load(url: str, body: Mapping[str, Any]) -> Iterator[SteadyLoad]:
    """Post `body` from a few clients with a connection each, until the block ends."""
    load, stop = SteadyLoad(), threading.Event()

    def run() -> None:
        with httpx.Client(timeout=PATIENCE_S) as client:
            while not stop.wait(PAUSE_S):
                began = time.monotonic()
                try:
                    status = client.post(url, json=dict(body)).status_code
                except httpx.HTTPError:
                    status = 0
                load.sent.append(Sent(began, time.monotonic(), status))

    threads = [threading.Thread(target=run, daemon=True) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_S + 5)
