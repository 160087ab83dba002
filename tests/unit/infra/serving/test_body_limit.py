"""A body that is too large or too slow is refused before the application sees any of it."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.serving.body_limit import BodyLimit
from tests.support.asgi import DISCONNECT, Endpoint, chunks, drive

LIMIT = 10


def length(of: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", of)]


def test_a_body_declared_too_large_is_refused_without_reading_it() -> None:
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
def test_a_body_that_grows_too_large_is_refused_whatever_was_declared(headers: list[tuple[bytes, bytes]]) -> None:
    endpoint = Endpoint()
    endless = itertools.repeat({"type": "http.request", "body": b"xxxx", "more_body": True})
    answer = asyncio.run(drive(BodyLimit(endpoint, LIMIT), endless, headers=headers))
    assert answer.status == 413
    assert endpoint.bodies == []


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    endpoint, started = Endpoint(), time.monotonic()
    answer = asyncio.run(drive(BodyLimit(endpoint, LIMIT, timeout_s=0.02), chunks(b"x"), pause_s=600))
    assert answer.status == 408
    assert answer.headers[b"connection"] == b"close"
    assert time.monotonic() - started < 60
    assert endpoint.bodies == []


def test_a_body_that_comes_in_drops_has_one_time_limit_for_all_of_it() -> None:
    endpoint = Endpoint()
    drops = itertools.repeat({"type": "http.request", "body": b"", "more_body": True})
    answer = asyncio.run(drive(BodyLimit(endpoint, LIMIT, timeout_s=0.05), drops, pause_s=0.01))
    assert answer.status == 408


@given(parts=st.lists(st.binary(max_size=6), min_size=1, max_size=4))
@settings(deadline=None, max_examples=60)
def test_a_body_is_passed_on_unchanged_exactly_when_it_is_within_the_limit(parts: list[bytes]) -> None:
    endpoint, body = Endpoint(), b"".join(parts)
    answer = asyncio.run(drive(BodyLimit(endpoint, LIMIT), chunks(*parts), headers=length(b"%d" % len(body))))
    if len(body) <= LIMIT:
        assert (answer.status, endpoint.bodies) == (200, [body])
    else:
        assert (answer.status, endpoint.bodies) == (413, [])


def test_the_application_still_learns_that_the_client_went_away_after_its_body() -> None:
    endpoint = Endpoint()
    asyncio.run(drive(BodyLimit(endpoint, LIMIT), chunks(b"{}")))
    assert endpoint.after == [DISCONNECT]


def test_a_client_that_goes_away_inside_its_body_gets_nothing_and_asks_nothing() -> None:
    endpoint = Endpoint()
    half = [{"type": "http.request", "body": b"{", "more_body": True}, DISCONNECT]
    answer = asyncio.run(drive(BodyLimit(endpoint, LIMIT), half))
    assert answer.messages == []
    assert endpoint.bodies == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_requests_without_a_body_are_passed_on_at_once(method: str) -> None:
    endpoint = Endpoint()
    answer = asyncio.run(drive(BodyLimit(endpoint, LIMIT), chunks(b""), method=method))
    assert answer.status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_every_other_method_is_limited(method: str) -> None:
    answer = asyncio.run(drive(BodyLimit(Endpoint(), LIMIT), chunks(b"x" * 11), method=method))
    assert answer.status == 413


def test_what_is_not_http_is_passed_on() -> None:
    asyncio.run(drive(BodyLimit(Endpoint(), LIMIT), [], type="lifespan"))
