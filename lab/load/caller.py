"""One connection to one service, which never raises: where no answer comes, the reply says so.

As slim as a client can be, so that a process that plays thousands of users measures the service and not itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    """`status` 0 where none came; `body` as it came, where it was an object; `retry_after_s` as the service asked."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    retry_after_s: float = 0.0


class Caller:
    """Belongs to one thread. Opens its connection when it is needed, and a new one after any failure."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._connection = HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)

    def get(self, path: str) -> Reply:
        return self._call("GET", path, None)

    def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        return self._call("POST", path, json.dumps(body))

    def close(self) -> None:
        self._connection.close()

    def _call(self, method: str, path: str, text: str | None) -> Reply:
        try:
            self._connection.request(method, path, text, {"content-type": "application/json"})
            response = self._connection.getresponse()
            found = response.read()
        except (OSError, HTTPException):
            self._connection.close()  # whatever state it is in, it is no good any more
            return Reply(0)
        wait = response.headers.get("retry-after", "")
        retry_after_s = float(wait) if wait.isdecimal() else 0.0
        try:
            body = json.loads(found or b"{}")
        except ValueError:
            return Reply(0 if response.status < 300 else response.status, {}, retry_after_s)
        return Reply(response.status, body if isinstance(body, dict) else {}, retry_after_s)
