"""The load client reconnects after a closed connection and returns status 0 without a response."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from lab.load.connection import Connections, request

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    return head + await reader.readexactly(length)


def asked(serve: Serve, times: int = 1, patience_s: float = 5.0) -> list[tuple[int, bytes]]:
    """Responses to sequential requests of one client against a server with the handler `serve`."""

    async def run() -> list[tuple[int, bytes]]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        connections = Connections(url, patience_s)
        found = []
        for _ in range(times):
            found.append(await connections.ask(request("POST", url, "/ask", b"{}")))
            await asyncio.sleep(0.02)
        connections.close()
        server.close()
        return found

    return asyncio.run(run())


def test_response_in_pieces_is_one_response_and_keeps_the_connection() -> None:
    made = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(writer)
        while True:
            assert (await read_request(reader)).endswith(b"\r\n\r\n{}")
            for piece in (OK[:10], OK[10:-1], OK[-1:]):
                writer.write(piece)
                await asyncio.sleep(0.005)

    assert asked(serve, times=3) == [(200, b"{}")] * 3
    assert len(made) == 1


def test_client_reconnects_after_a_closed_connection() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK)
        writer.close()

    assert asked(serve, times=3) == [(200, b"{}")] * 3


def test_disconnect_or_timeout_returns_status_zero() -> None:
    async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(OK[:12])
        writer.close()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    assert [status for status, _ in asked(hangs_up)] == [0]
    assert [status for status, _ in asked(never, patience_s=0.1)] == [0]


def test_refused_connection_returns_status_zero() -> None:
    async def run() -> tuple[int, bytes]:
        return await Connections("http://127.0.0.1:9", 1.0).ask(b"")

    assert asyncio.run(run())[0] == 0


@pytest.mark.parametrize("body", [b"", b'{"user_id": 7}'])
def test_request_has_a_content_length_header(body: bytes) -> None:
    wire = request("GET", "http://127.0.0.1:8010", "/readyz", body)
    assert wire.startswith(b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1:8010\r\n")
    assert wire.endswith(f"content-length: {len(body)}\r\n\r\n".encode() + body)
