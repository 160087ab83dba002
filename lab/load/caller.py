"""A minimal HTTP client for one service. It never raises: a reply with status 0 marks a missing response.

The client does little work per request, so that a process with thousands of simulated users measures the service and
not itself.
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
    """A response. `status` is 0 without a usable response; `body` is the JSON object, or empty for any other body;
    `retry_after_s` is the Retry-After header in seconds, or 0."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    retry_after_s: float = 0.0


class Caller:
    """Keeps one connection. Not thread-safe. It connects at the first request and again after any failure."""

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
            self._connection.close()  # the state of the connection is unknown, so the next request opens a new one
            return Reply(0)
        wait = response.headers.get("retry-after", "")
        retry_after_s = float(wait) if wait.isdecimal() else 0.0
        try:
            body = json.loads(found or b"{}")
        except ValueError:
            return Reply(0 if response.status < 300 else response.status, {}, retry_after_s)
        return Reply(response.status, body if isinstance(body, dict) else {}, retry_after_s)
