"""Refuses requests whose `Host` header names another site, before the application sees them.

A browser may be led to 127.0.0.1 by the name of a foreign page (DNS rebinding). Its requests then carry that name in
`Host`, and would otherwise reach every route, `PUT /v1/faults` included.
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
    """ASGI middleware: passes requests for `LOCAL`, for `names`, and for the address at which the connection arrived.

    The address is safe, since a page can send it only if it was opened at this address. Monitoring and probes use it
    where they find a container by its address. Anything else is answered with 421 as an RFC 9457 problem.
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
        """Whether there is a `Host` header, and each that there is has an allowed name."""
        found = [host_of(value.decode("latin-1")) for name, value in scope["headers"] if name == b"host"]
        return bool(found) and all(host in self.names or host == _own_address(scope) for host in found)


def host_of(header: str) -> str:
    """The name in a `Host` header, in lower case and without the port: `Feed:8010` is `feed`, `[::1]:80` is `[::1]`."""
    host, colon, port = header.rpartition(":")
    is_port = bool(colon) and (port.isdecimal() or not port)
    return (host if is_port else header).lower()


def _own_address(scope: Scope) -> str | None:
    """Where the connection arrived, as a `Host` header writes it."""
    server = scope.get("server")
    if server is None:
        return None
    address = str(server[0])
    return f"[{address}]" if ":" in address else address


def _refusal() -> Response:
    """Written here, since the worker, which is guarded too, does without the web framework and its problem handlers."""
    detail = "the Host header is not allowed; the setting LAB_ALLOWED_HOSTS lists names beside 127.0.0.1"
    body = {"type": "about:blank", "title": "Host not allowed", "status": MISDIRECTED, "detail": detail, "errors": []}
    return Response(orjson.dumps(body), MISDIRECTED, media_type="application/problem+json")
