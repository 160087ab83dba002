"""The client checks the certificate of an https address, and reads no certificates for another address."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from lab.services.client import request


@pytest.mark.parametrize(("url", "expected"), [("https://example.org/", True), ("http://127.0.0.1:8010/", False)])
def test_only_an_https_address_is_verified(monkeypatch: pytest.MonkeyPatch, url: str, expected: bool) -> None:
    seen: list[Any] = []

    def answer(*_: Any, verify: Any, **__: Any) -> httpx.Response:
        seen.append(verify)
        return httpx.Response(200)

    monkeypatch.setattr(httpx, "request", answer)
    assert request("GET", url).status_code == 200
    assert seen == [expected]
