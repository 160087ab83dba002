"""A low-overhead HTTP client on an event loop, for load generators that measure latency.

One event loop replaces threads: waiting for the interpreter lock would add to the latency of a service that answers in
a millisecond.
"""

from __future__ import annotations

import asyncio
import selectors
from urllib.parse import urlsplit


def request(method: str, url: str, path: str, body: bytes = b"") -> bytes:
    """Encode an HTTP/1.1 request as bytes."""
    head = f"{method} {path} HTTP/1.1\r\nhost: {urlsplit(url).netloc}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def fine_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop with sub-millisecond timers. The default loop on Linux uses `epoll`, with 1 ms timers."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


class Connection(asyncio.Protocol):
    """A connection with one request at a time. A response is (status, body); status 0 means a closed connection."""

    def __init__(self) -> None:
        self._data, self._answer = b"", asyncio.get_running_loop().create_future()
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self.is_open = transport, True

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        self._data, self._answer = b"", asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found or self._answer.done():
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0] or b"0")
        if len(body) >= length:
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        if not self._answer.done():
            self._answer.set_result((0, b"the connection was closed"))

    def close(self) -> None:
        self.is_open = False
        self._transport.close()


class Connections:
    """A connection pool with one connection per concurrent request. `ask` never raises for a missing response: it
    returns status 0."""

    def __init__(self, url: str, patience_s: float) -> None:
        host, _, port = urlsplit(url).netloc.partition(":")
        self._host, self._port, self._patience_s = host, int(port or 80), patience_s
        self._free: list[Connection] = []

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        connection = None
        try:
            async with asyncio.timeout(self._patience_s):
                connection = self._idle() or await self._connect()
                status, body = await connection.ask(request)
        except (OSError, TimeoutError):
            status, body = 0, b""
        if connection is not None and status:
            self._free.append(connection)
        elif connection is not None:
            connection.close()  # the state of the connection is unknown
        return status, body

    def close(self) -> None:
        for connection in self._free:
            connection.close()

    def _idle(self) -> Connection | None:
        while self._free:
            connection = self._free.pop()
            if connection.is_open:
                return connection
        return None

    async def _connect(self) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(Connection, self._host, self._port)
        return connection
