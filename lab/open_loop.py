"""Load whose requests arrive by the clock, whether or not earlier ones were answered; and its opposite, for capacity.

A closed loop of users who wait for their answers slows down with the service and so hides its queue. Here latency
counts from the moment when a request was due.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from infra.errors import LabError

Question = Callable[[int], Mapping[str, Any]]
MOST_AT_ONCE = 64


@dataclass
class Client:
    """Posts questions to one address, on a connection of its own for each thread."""

    url: str
    path: str
    question: Question
    _local: threading.local = field(default_factory=threading.local)

    def ask(self, number: int) -> None:
        """Raises `LabError` for any status but 200."""
        if not hasattr(self._local, "connection"):
            self._local.connection = HTTPConnection(urlsplit(self.url).netloc, timeout=10)
        connection: HTTPConnection = self._local.connection
        connection.request("POST", self.path, json.dumps(self.question(number)), {"content-type": "application/json"})
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise LabError(
                f"{self.url}{self.path} answered {response.status}", hint=body.decode(errors="replace")[:300]
            )


def open_loop(client: Client, *, rate_per_s: float, seconds: float, seed: int) -> npt.NDArray[np.float64]:
    """Latencies in milliseconds of a Poisson stream of requests, each from the moment when it was due."""
    due = np.cumsum(np.random.default_rng(seed).exponential(1 / rate_per_s, int(rate_per_s * seconds)))
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        began = time.perf_counter()

        def one(number: int, at_s: float) -> float:
            client.ask(number)
            return (time.perf_counter() - began - at_s) * 1000

        futures = []
        for number, at_s in enumerate(due.tolist()):
            time.sleep(max(0.0, began + at_s - time.perf_counter()))
            futures.append(pool.submit(one, number, at_s))
        return np.array([future.result() for future in futures])


def capacity_per_s(client: Client, *, clients: int, seconds: float) -> float:
    """Answers per second when so many clients ask again as soon as they have their answer."""
    numbers, until = count(), time.perf_counter() + seconds

    def one() -> int:
        answered = 0
        while time.perf_counter() < until:
            client.ask(next(numbers))
            answered += 1
        return answered

    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        total = sum(future.result() for future in [pool.submit(one) for _ in range(clients)])
    return total / (time.perf_counter() - began)
