"""The load of a drill: requests that arrive by the clock while everything else happens, each with its fate.

Latency counts from the moment when a request was due, so a service that stalls is seen to stall.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from lab.caller import Caller

Question = Callable[[int], Mapping[str, Any]]
MOST_AT_ONCE = 64
PATIENCE_S = 5.0
WATCH_EVERY_S = 0.05


@dataclass(frozen=True)
class Sent:
    """One request. `due_s` on the drill's clock; `status` 0 where no answer came; `answer` as it came, if it did."""

    number: int
    due_s: float
    latency_ms: float
    status: int
    degraded: tuple[str, ...]
    answer: Mapping[str, Any]

    @property
    def is_hurt(self) -> bool:
        return self.status != 200 or bool(self.degraded)


@dataclass
class Load:
    """Use as a context: it sends from enter to exit. `now_s` is the drill's clock, which starts then."""

    url: str
    path: str
    rows: str
    question: Question
    rate_per_s: float
    seed: int = 0
    sent: list[Sent] = field(default_factory=list)
    breakers: list[tuple[float, Mapping[str, str]]] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._stop, self._local = threading.Event(), threading.local()
        self._began = time.perf_counter()
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix="drill")
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._send, self._watch)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        self._pool.shutdown(cancel_futures=True)

    @property
    def now_s(self) -> float:
        return time.perf_counter() - self._began

    def since(self, at_s: float) -> list[Sent]:
        """What was due from `at_s` on and has an answer, in the order of being due."""
        return sorted((one for one in list(self.sent) if one.due_s >= at_s), key=lambda one: one.due_s)

    def _send(self) -> None:
        rng, due_s, number = np.random.default_rng(self.seed), 0.0, 0
        while not self._stop.wait(max(0.0, due_s - self.now_s)):
            self._pool.submit(self._one, number, due_s)
            number += 1
            due_s += float(rng.exponential(1 / self.rate_per_s))

    def _one(self, number: int, due_s: float) -> None:
        if not hasattr(self._local, "caller"):
            self._local.caller = Caller(self.url, PATIENCE_S)
        caller: Caller = self._local.caller
        reply = caller.post(self.path, self.question(number))
        answer = reply.body if reply.status == 200 else {}
        status = reply.status if answer.get(self.rows) or reply.status != 200 else 0  # an empty answer is none
        latency_ms = (self.now_s - due_s) * 1000
        self.sent.append(Sent(number, due_s, latency_ms, status, tuple(answer.get("degraded", ())), answer))

    def _watch(self) -> None:
        """What the service says of its breakers, as fast as it can be asked without being a load itself."""
        with httpx.Client(base_url=self.url, timeout=2.0) as client:
            while not self._stop.wait(WATCH_EVERY_S):
                try:
                    self.breakers.append((self.now_s, client.get("/readyz").json().get("breakers", {})))
                except (httpx.HTTPError, ValueError):
                    continue
