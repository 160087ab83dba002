"""Rejects requests whose `Host` header names another site, before the application runs.

DNS rebinding can resolve the name of a foreign page to 127.0.0.1. The browser's requests then carry that name in
`Host`. Without this check, such a page could call every route, including `PUT /v1/faults`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import orjson
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost", "[::1]")
MISDIRECTED = 421


@dataclass(frozen=True)
class AllowedHosts:
    """ASGI middleware that accepts the hosts in `LOCAL` and `names`, and the local address of the connection.

    The local address is safe because a page can send it only if the browser opened the page at this address. Monitoring
    and probes that find a container by address use it. Any other host gets a 421 with an RFC 9457 problem.
    """

    app: ASGIApp
    names: frozenset[str]

    @classmethod
    def around(cls, app: ASGIApp, names: Iterable[str]) -> AllowedHosts:
        return cls(app, frozenset((*LOCAL, *names)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_allowed(scope):
            await _refusal()(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        """True if the request has at least one `Host` header and every `Host` header has an allowed name."""
        found = [host_of(value.decode("latin-1")) for name, value in scope["headers"] if name == b"host"]
        return bool(found) and all(host in self.names or host == _own_address(scope) for host in found)


def host_of(header: str) -> str:
    """The host in a `Host` header, lower case, without the port: `Feed:8010` → `feed`, `[::1]:80` → `[::1]`."""
    host, colon, port = header.rpartition(":")
    is_port = bool(colon) and (port.isdecimal() or not port)
    return (host if is_port else header).lower()


def _own_address(scope: Scope) -> str | None:
    """The local address of the connection, in the format of a `Host` header."""
    server = scope.get("server")
    if server is None:
        return None
    address = str(server[0])
    return f"[{address}]" if ":" in address else address


def _refusal() -> Response:
    """Written here, since the worker, which is guarded too, does without the web framework and its problem handlers."""
    detail = "the Host header is not allowed; add its name to the setting LAB_ALLOWED_HOSTS"
    body = {"type": "about:blank", "title": "Host not allowed", "status": MISDIRECTED, "detail": detail, "errors": []}
    return Response(orjson.dumps(body), MISDIRECTED, media_type="application/problem+json")
