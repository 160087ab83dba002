"""Events are acknowledged only after the broker has accepted them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.responses import Response

from infra.errors import StreamUnavailable
from infra.serving.admission import Admission
from infra.serving.event_intake import FUTURE_S, accept, refuse_future


@dataclass
class Broker:
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.taken: list[Any] = []

    def publish(self, found: Any, timeout_s: float) -> None:
        if self.error is not None:
            raise self.error
        self.taken += found


@dataclass(frozen=True)
class Item:
    request_ts: float


def answer_of(broker: Any, found: list[Any]) -> Response:
    async def ask() -> Response:
        intake = Admission(workers=1, queue=1)
        try:
            return await accept(found, broker, intake)
        finally:
            intake.close()

    return asyncio.run(ask())


def test_events_are_accepted_once_the_broker_has_them() -> None:
    broker = Broker()
    answer = answer_of(broker, [("topic", "one"), ("topic", "two")])
    assert answer.status_code == 202
    assert json.loads(bytes(answer.body)) == {"accepted": 2}
    assert broker.taken == [("topic", "one"), ("topic", "two")]


def test_unavailable_broker_returns_503_with_retry_after() -> None:
    answer = answer_of(Broker(StreamUnavailable("gone")), [("topic", "one")])
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert "no event is acknowledged" in bytes(answer.body).decode()


def test_bug_while_publishing_passes_through() -> None:
    with pytest.raises(KeyError):
        answer_of(Broker(KeyError("a bug")), [("topic", "one")])


def test_refuse_future_rejects_only_items_with_a_future_timestamp() -> None:
    assert refuse_future([Item(5.0), Item(10.0 + FUTURE_S)], 10.0) is None
    refused = refuse_future([Item(5.0), Item(10.1 + FUTURE_S)], 10.0)
    assert refused is not None
    assert refused.status_code == 422
    assert "is in the future" in bytes(refused.body).decode()
