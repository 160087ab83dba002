"""The load of a drill: an open loop of requests during all phases, and the outcome of each request.

Latency counts from the time when a request was due, so a stalled service shows as latency.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lab.load.connection import Connections, fine_loop, request

log = logging.getLogger(__name__)
Question = Callable[[int], Mapping[str, Any]]
MOST_AT_ONCE = 64
PATIENCE_S = 5.0
WATCH_EVERY_S = 0.05


@dataclass(frozen=True)
class Sent:
    """One request. `due_s` is in seconds on the drill's clock.

    `status` is 0 if no response or an empty slate came; `answer` is the decoded response. `is_wrong` marks an empty
    slate and any status that load does not explain, that is other than 200 and 503.
    """

    number: int
    due_s: float
    latency_ms: float
    status: int
    degraded: tuple[str, ...]
    answer: Mapping[str, Any]
    is_wrong: bool = False

    @property
    def is_healthy(self) -> bool:
        return self.status == 200 and not self.degraded


@dataclass
class Load:
    """Context manager that sends requests from enter to exit. `now_s` is the drill's clock and starts at enter.

    `late_ms` holds the lateness of the load generator per request; waiting for the service does not count.
    """

    url: str
    path: str
    rows: str
    question: Question
    rate_per_s: float
    seed: int = 0
    sent: list[Sent] = field(default_factory=list)
    breakers: list[tuple[float, Mapping[str, str]]] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._began, self._loop = time.perf_counter(), fine_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="drill", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(2 * PATIENCE_S)

    @property
    def now_s(self) -> float:
        return time.perf_counter() - self._began

    def since(self, at_s: float) -> list[Sent]:
        """Finished requests that were due from `at_s` on, sorted by due time."""
        return sorted((one for one in list(self.sent) if one.due_s >= at_s), key=lambda one: one.due_s)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._until_ended())

    async def _until_ended(self) -> None:
        """Send requests and poll the breakers until the end of the drill, then wait for the requests in flight."""
        connections, under_way = Connections(self.url, PATIENCE_S), set[asyncio.Task[None]]()
        work = [asyncio.create_task(self._send(connections, under_way)), asyncio.create_task(self._watch(connections))]
        await self._ended.wait()
        for task in work:
            task.cancel()
        for ended in await asyncio.gather(*work, *under_way, return_exceptions=True):
            if isinstance(ended, Exception):  # a bug of ours: without a word the drill would blame the service
                log.error("the drill's load generator stopped early", exc_info=ended)
        connections.close()

    async def _send(self, connections: Connections, under_way: set[asyncio.Task[None]]) -> None:
        rng, due_s, number, places = np.random.default_rng(self.seed), 0.0, 0, asyncio.Semaphore(MOST_AT_ONCE)
        while True:
            planned_s = max(due_s, self.now_s)  # later than due if `MOST_AT_ONCE` requests wait for the service
            asked = request("POST", self.url, self.path, json.dumps(self.question(number)).encode())
            await asyncio.sleep(max(0.0, due_s - self.now_s))
            self.late_ms.append((self.now_s - planned_s) * 1000)
            await places.acquire()
            task = asyncio.create_task(self._one(connections, number, due_s, asked))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            task.add_done_callback(lambda _: places.release())
            number += 1
            due_s += float(rng.exponential(1 / self.rate_per_s))

    async def _one(self, connections: Connections, number: int, due_s: float, asked: bytes) -> None:
        status, body = await connections.ask(asked)
        latency_ms = (self.now_s - due_s) * 1000
        answer = parsed(body) if status == 200 else {}
        is_empty = status == 200 and not answer.get(self.rows)
        is_wrong = is_empty or status not in (0, 200, 503)
        status = 0 if is_empty else status
        self.sent.append(Sent(number, due_s, latency_ms, status, tuple(answer.get("degraded", ())), answer, is_wrong))

    async def _watch(self, connections: Connections) -> None:
        """Poll the breaker states at `/readyz`, at an interval that adds no noticeable load."""
        asked = request("GET", self.url, "/readyz")
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            status, body = await connections.ask(asked)
            if status:
                self.breakers.append((self.now_s, parsed(body).get("breakers", {})))


@contextmanager
def uncollected() -> Iterator[None]:
    """Switch the cyclic garbage collector off. The load keeps every response, so a collection walks over millions of
    objects: it stopped the load for up to 0.4 s, and the requests of that time looked slow."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def parsed(body: bytes) -> Mapping[str, Any]:
    """Decode a JSON object; empty if the body is no JSON object."""
    with contextlib.suppress(ValueError):
        found = json.loads(body)
        if isinstance(found, dict):
            return found
    return {}
