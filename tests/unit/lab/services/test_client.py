"""The client checks certificates of https addresses only, and calls every replica even if one does not answer."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from infra.errors import DependencyError
from lab.services.client import call_each, request


@pytest.mark.parametrize(("url", "expected"), [("https://example.org/", True), ("http://127.0.0.1:8010/", False)])
def test_only_an_https_address_is_verified(monkeypatch: pytest.MonkeyPatch, url: str, expected: bool) -> None:
    seen: list[Any] = []

    def answer(*_: Any, verify: Any, **__: Any) -> httpx.Response:
        seen.append(verify)
        return httpx.Response(200)

    monkeypatch.setattr(httpx, "request", answer)
    assert request("GET", url).status_code == 200
    assert seen == [expected]


def test_every_replica_is_called_after_one_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    def answer(method: str, url: str, **_: Any) -> httpx.Response:
        called.append(url)
        if "8012" in url:
            raise httpx.ConnectError("it starts again")
        return httpx.Response(200, json=[method])

    monkeypatch.setattr(httpx, "request", answer)
    with pytest.raises(DependencyError, match="8012"):
        call_each("DELETE", ["http://127.0.0.1:8012", "http://127.0.0.1:8013"], "/v1/faults/index")
    assert called == [f"http://127.0.0.1:{port}/v1/faults/index" for port in (8012, 8013)]
    assert call_each("GET", ["http://127.0.0.1:8013"], "/v1/faults") == [["GET"]]
