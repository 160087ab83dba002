"""Open-loop load for latency: requests arrive by the clock. Closed-loop load for capacity: clients wait for responses.

A closed loop slows down with the service and hides the queue (coordinated omission). So the open loop counts latency
from the time when a request was due. One thread sends prepared requests and waits for all responses at once: with many
threads, waiting for the interpreter lock would add to the latency of a service that answers in a millisecond.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import count
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from infra.errors import LabError
from lab.load.connection import Connection, fine_loop, request

T = TypeVar("T")
Question = Callable[[int], Mapping[str, Any]]
MOST_AT_ONCE = 64
ANSWER_S = 10.0


@dataclass
class Client:
    """Posts requests to one URL and path. `question` returns the body of a request by its number."""

    url: str
    path: str
    question: Question

    def ask(self, number: int) -> None:
        """Send one request on a new connection. Raises `LabError` for any status other than 200."""
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=ANSWER_S)
        connection.request("POST", self.path, json.dumps(self.question(number)), {"content-type": "application/json"})
        response = connection.getresponse()
        body = response.read()
        connection.close()
        if response.status != 200:
            raise self.refused(response.status, body)

    def raw(self, number: int) -> bytes:
        """Encode request `number` as bytes."""
        return request("POST", self.url, self.path, json.dumps(self.question(number)).encode())

    def refused(self, status: int, body: bytes) -> LabError:
        return LabError(f"{self.url}{self.path} answered {status}", hint=body.decode(errors="replace")[:300])


def open_loop(client: Client, *, rate_per_s: float, seconds: float, seed: int) -> npt.NDArray[np.float64]:
    """Send a Poisson stream of requests and return float64[requests]: latencies in milliseconds from the due times.

    At most `MOST_AT_ONCE` requests are in flight; a further request waits, and its latency includes the wait. Raises
    `LabError` if a response is missing or its status is not 200.
    """
    due = np.cumsum(np.random.default_rng(seed).exponential(1 / rate_per_s, int(rate_per_s * seconds)))
    requests = [client.raw(number) for number in range(len(due))]
    return _run(_open_loop(client, requests, due))


async def _open_loop(client: Client, requests: list[bytes], due: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    connections = await _connect(client, MOST_AT_ONCE)
    free, latency = deque(connections), np.zeros(len(due))
    places = asyncio.Semaphore(len(free))
    began = time.perf_counter()

    async def one(number: int) -> None:
        connection = free.popleft()
        try:
            status, body = await asyncio.wait_for(connection.ask(requests[number]), ANSWER_S)
        finally:
            free.append(connection)
            places.release()
        if status != 200:
            raise client.refused(status, body)
        latency[number] = (time.perf_counter() - began - due[number]) * 1000

    async with asyncio.TaskGroup() as group:
        for number, at_s in enumerate(due.tolist()):
            await asyncio.sleep(max(0.0, began + at_s - time.perf_counter()))
            await places.acquire()
            group.create_task(one(number))
    _close(connections)
    return latency


def capacity_per_s(client: Client, *, clients: int, seconds: float) -> float:
    """Measure responses per second with `clients` that each send the next request after their last response."""
    return _run(_closed_loop(client, clients, seconds))


async def _closed_loop(client: Client, clients: int, seconds: float) -> float:
    connections = await _connect(client, clients)
    numbers, began = count(), time.perf_counter()

    async def one(connection: Connection) -> int:
        answered = 0
        while time.perf_counter() - began < seconds:
            status, body = await asyncio.wait_for(connection.ask(client.raw(next(numbers))), ANSWER_S)
            if status != 200:
                raise client.refused(status, body)
            answered += 1
        return answered

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(connection)) for connection in connections]
    _close(connections)
    return sum(task.result() for task in tasks) / (time.perf_counter() - began)


async def _connect(client: Client, number: int) -> list[Connection]:
    host, _, port = urlsplit(client.url).netloc.partition(":")
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(Connection, host, int(port or 80)))[1] for _ in range(number)]


def _close(connections: list[Connection]) -> None:
    for connection in connections:
        connection.close()


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end. Raises `LabError` for a timeout, a refused request or a lost connection."""
    with asyncio.Runner(loop_factory=fine_loop) as runner:
        try:
            return runner.run(work)
        except* TimeoutError:
            raise LabError(f"the service did not answer within {ANSWER_S:.0f} s") from None
        except* LabError as found:
            raise found.exceptions[0] from None
        except* OSError as found:
            raise LabError(f"the service does not answer: {found.exceptions[0]}") from None
