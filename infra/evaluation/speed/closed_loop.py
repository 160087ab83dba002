"""A closed-loop HTTP client for benchmarks: each connection sends its next request after its last response.

It uses raw sockets, prepared requests and several connections, so the client does not limit the measurement.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt

from infra.errors import LabError

CLIENTS, SECONDS, ANSWER_S = 4, 3.0, 10.0
Body = Mapping[str, Any]


def throughput(url: str, path: str, bodies: Sequence[Body], seconds: float = SECONDS) -> float:
    """Responses per second for `bodies`, or for as many as fit into `seconds`, with `CLIENTS` connections.

    Raises `LabError` if a status is not 200.
    """
    shares = [[raw_request(path, body) for body in bodies[place::CLIENTS]] for place in range(CLIENTS)]
    answered = [0] * CLIENTS
    failed: list[bytes] = []
    until = time.perf_counter() + seconds

    def one(place: int) -> None:
        with connection_to(url) as connection:
            for request in shares[place]:
                if time.perf_counter() > until:
                    return
                connection.sendall(request)
                head, _ = read_answer(connection)
                if not head.startswith(b"HTTP/1.1 200"):
                    failed.append(head)
                    return
                answered[place] += 1

    began = time.perf_counter()
    threads = [threading.Thread(target=one, args=(place,)) for place in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise LabError(f"the service answered {failed[0][:80]!r}")
    return sum(answered) / (time.perf_counter() - began)


def latencies_ms(url: str, path: str, bodies: Sequence[Body]) -> npt.NDArray[np.float64]:
    """float64[bodies]: milliseconds from a request to its whole response, on one connection.

    Raises `LabError` if a status is not 200.
    """
    found = np.zeros(len(bodies))
    with connection_to(url) as connection:
        for number, request in enumerate([raw_request(path, body) for body in bodies]):
            started = time.perf_counter()
            connection.sendall(request)
            head, _ = read_answer(connection)
            found[number] = (time.perf_counter() - started) * 1000
            if not head.startswith(b"HTTP/1.1 200"):
                raise LabError(f"the service answered {head[:80]!r}")
    return found


def answer_of(url: str, path: str, body: Body) -> bytes:
    """The body of one response. Raises `LabError` if its status is not 200."""
    with connection_to(url) as connection:
        connection.sendall(raw_request(path, body))
        head, answer = read_answer(connection)
    if not head.startswith(b"HTTP/1.1 200"):
        raise LabError(f"the service answered {head[:80]!r}", hint=answer.decode(errors="replace")[:300])
    return answer


@contextmanager
def connection_to(url: str) -> Iterator[socket.socket]:
    host, _, port = urlsplit(url).netloc.partition(":")
    with socket.create_connection((host, int(port)), timeout=ANSWER_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def raw_request(path: str, body: Body) -> bytes:
    text = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(text)}\r\n\r\n".encode() + text


def read_answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read one response: its status line with the headers, and its body. Raises `LabError` if the peer closes."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, rest = data.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(rest) < length:
        rest += _some(connection)
    return head, rest


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise LabError("the service closed the connection")
    return data
