"""Bodies that are too large or too slow are rejected before the application reads them."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.serving.middleware.body_limit import BodyLimit
from tests.support.asgi import DISCONNECT, Endpoint, chunks, drive

LIMIT = 10


def length(of: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", of)]


def test_body_declared_too_large_is_rejected_unread() -> None:
    endpoint = Endpoint()
    unread = iter(chunks(b"x"))
    answer = asyncio.run(drive(BodyLimit(endpoint, LIMIT), unread, headers=length(b"11")))
    assert answer.status == 413
    assert answer.headers[b"connection"] == b"close"
    assert answer.headers[b"content-type"] == b"application/problem+json"
    assert "10 bytes" in answer.document["detail"]
    assert endpoint.bodies == []
    assert next(unread, None) is not None


@pytest.mark.parametrize("headers", [[], length(b"5"), length(b"-1"), length(b"many")])
def test_body_that_exceeds_the_limit_is_rejected_for_any_content_length(headers: list[tuple[bytes, bytes]]) -> None:
    endpoint = Endpoint()
    endless = itertools.repeat({"type": "http.request", "body": b"xxxx", "more_body": True})
    answer = asyncio.run(drive(BodyLimit(endpoint, LIMIT), endless, headers=headers))
    assert answer.status == 413
    assert endpoint.bodies == []


def test_missing_body_times_out_with_408() -> None:
    endpoint, started = Endpoint(), time.monotonic()
    answer = asyncio.run(drive(BodyLimit(endpoint, LIMIT, timeout_s=0.02), chunks(b"x"), pause_s=600))
    assert answer.status == 408
    assert answer.headers[b"connection"] == b"close"
    assert time.monotonic() - started < 60
    assert endpoint.bodies == []


def test_time_limit_applies_to_the_whole_body() -> None:
    endpoint = Endpoint()
    drops = itertools.repeat({"type": "http.request", "body": b"", "more_body": True})
    answer = asyncio.run(drive(BodyLimit(endpoint, LIMIT, timeout_s=0.05), drops, pause_s=0.01))
    assert answer.status == 408


@given(parts=st.lists(st.binary(max_size=6), min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
def test_body_within_the_limit_is_passed_on_unchanged(parts: list[bytes]) -> None:
    endpoint, body = Endpoint(), b"".join(parts)
    answer = asyncio.run(drive(BodyLimit(endpoint, LIMIT), chunks(*parts), headers=length(b"%d" % len(body))))
    if len(body) <= LIMIT:
        assert (answer.status, endpoint.bodies) == (200, [body])
    else:
        assert (answer.status, endpoint.bodies) == (413, [])


def test_application_receives_a_disconnect_after_the_body() -> None:
    endpoint = Endpoint()
    asyncio.run(drive(BodyLimit(endpoint, LIMIT), chunks(b"{}")))
    assert endpoint.after == [DISCONNECT]


def test_disconnect_within_the_body_sends_no_response_and_no_request() -> None:
    endpoint = Endpoint()
    half = [{"type": "http.request", "body": b"{", "more_body": True}, DISCONNECT]
    answer = asyncio.run(drive(BodyLimit(endpoint, LIMIT), half))
    assert answer.messages == []
    assert endpoint.bodies == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_requests_without_a_body_are_passed_on(method: str) -> None:
    endpoint = Endpoint()
    answer = asyncio.run(drive(BodyLimit(endpoint, LIMIT), chunks(b""), method=method))
    assert answer.status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_body_limit_applies_to_methods_with_a_body(method: str) -> None:
    answer = asyncio.run(drive(BodyLimit(Endpoint(), LIMIT), chunks(b"x" * 11), method=method))
    assert answer.status == 413


def test_non_http_scopes_are_passed_on() -> None:
    asyncio.run(drive(BodyLimit(Endpoint(), LIMIT), [], type="lifespan"))
