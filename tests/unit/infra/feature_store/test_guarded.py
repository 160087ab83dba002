"""The guarded read distinguishes stale rows, timeouts and failures of the feature store."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from infra.errors import (
    BreakerOpen,
    BulkheadFull,
    DeadlineExceeded,
    FeaturesStale,
    FeatureStoreSlow,
    FeatureStoreUnavailable,
)
from infra.feature_store.guarded import GuardedFeatures, StaleRow
from infra.feature_store.port import FeatureRow
from infra.live.clock import WorldClock
from infra.resilience.breaker import BreakerState, CircuitBreaker
from infra.resilience.bulkhead import Bulkhead
from infra.resilience.deadline import Deadline

NOW = datetime(2026, 1, 5, tzinfo=UTC)
TTL_S = 3600.0
TIMEOUT_MS = 250.0
"""long enough for an immediate answer on a busy machine"""


class Store:
    """Answers with `row`, or raises `error`, after `hold` is set."""

    def __init__(self) -> None:
        self.row = FeatureRow({"ctr_7d": 0.5}, NOW)
        self.error: Exception | None = None
        self.hold = threading.Event()
        self.hold.set()
        self.asked: list[int] = []

    def read_online(self, entity_id: int) -> FeatureRow:
        self.asked.append(entity_id)
        self.hold.wait(60)
        if self.error:
            raise self.error
        return self.row

    async def read_soon(self, entity_id: int) -> FeatureRow:
        while not self.hold.is_set():
            await asyncio.sleep(0.001)
        return self.read_online(entity_id)

    def read_many(self, entity_ids: Sequence[int]) -> list[FeatureRow]:
        return [self.read_online(one) for one in entity_ids]


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    yield made
    made.hold.set()


class Awaited(GuardedFeatures):
    """Reads through `read_soon` in an event loop."""

    def read(self, entity_id: int, deadline: Deadline) -> FeatureRow:
        return asyncio.run(self.read_soon(entity_id, deadline))


@pytest.fixture(params=[GuardedFeatures, Awaited])
def guarded(request: pytest.FixtureRequest, store: Store) -> Iterator[GuardedFeatures]:
    breaker = CircuitBreaker("store", min_calls=3, open_s=60)
    bulkhead = Bulkhead("store", workers=1, queue=1)
    yield request.param(store, breaker, bulkhead, TIMEOUT_MS, TTL_S, WorldClock(NOW.timestamp()))
    bulkhead.close()


def read(guarded: GuardedFeatures, budget_ms: float = 60_000) -> FeatureRow:
    return guarded.read(7, Deadline.after_ms(budget_ms))


def test_guarded_read_returns_a_fresh_row(guarded: GuardedFeatures, store: Store) -> None:
    assert read(guarded) is store.row
    assert store.asked == [7]


def test_row_is_stale_only_beyond_its_time_to_live(guarded: GuardedFeatures, store: Store) -> None:
    store.row = FeatureRow({}, NOW - timedelta(seconds=TTL_S - 30))
    assert read(guarded) is store.row
    store.row = FeatureRow({}, NOW - timedelta(seconds=TTL_S + 1))
    with pytest.raises(StaleRow):
        read(guarded)


def test_stale_row_error_contains_the_row(guarded: GuardedFeatures, store: Store) -> None:
    store.row = FeatureRow({"ctr_7d": 0.25}, NOW - timedelta(hours=5))
    with pytest.raises(FeaturesStale, match=r"5\.0 h old") as caught:
        read(guarded)
    assert isinstance(caught.value, StaleRow)
    assert caught.value.row is store.row
    assert caught.value.reason == "features_stale"


def test_read_many_makes_one_call_and_checks_the_age_of_each_row(guarded: GuardedFeatures, store: Store) -> None:
    rows = {1: FeatureRow({}, NOW), 2: FeatureRow({}, NOW - timedelta(seconds=TTL_S + 1)), 3: FeatureRow({}, None)}
    store.read_many = lambda ids: [rows[one] for one in ids]  # type: ignore[method-assign]
    young, old, unknown = guarded.read_many([1, 2, 3], Deadline.after_ms(60_000))
    assert (young, unknown) == (rows[1], rows[3])
    assert isinstance(old, StaleRow)
    assert old.row is rows[2]


def test_read_many_raises_when_the_store_fails_or_is_slow(guarded: GuardedFeatures, store: Store) -> None:
    store.error = FeatureStoreUnavailable("gone")
    with pytest.raises(FeatureStoreUnavailable):
        guarded.read_many([1, 2], Deadline.after_ms(60_000))
    store.error = None
    store.hold.clear()
    with pytest.raises(FeatureStoreSlow):
        guarded.read_many([1, 2], Deadline.after_ms(60_000))
    store.hold.set()


def test_stale_rows_do_not_open_the_breaker(guarded: GuardedFeatures, store: Store) -> None:
    store.row = FeatureRow({}, NOW - timedelta(days=5))
    for _ in range(10):
        with pytest.raises(StaleRow):
            read(guarded)
    assert guarded.breaker.state is BreakerState.CLOSED


def test_unknown_entity_is_not_an_error(guarded: GuardedFeatures, store: Store) -> None:
    store.row = FeatureRow({}, None)
    assert not read(guarded).is_known


def test_slow_store_read_fails_within_the_timeout(guarded: GuardedFeatures, store: Store) -> None:
    store.hold.clear()
    started = time.monotonic()
    with pytest.raises(FeatureStoreSlow) as caught:
        read(guarded)
    assert TIMEOUT_MS / 1000 * 0.9 < time.monotonic() - started < 30
    assert caught.value.reason == "feature_store_slow"


def test_guarded_read_respects_a_request_deadline_before_the_timeout(store: Store) -> None:
    patient = GuardedFeatures(
        store, CircuitBreaker("s"), Bulkhead("s", workers=8, queue=0), 60_000, TTL_S, WorldClock(NOW.timestamp())
    )
    store.hold.clear()
    started = time.monotonic()
    for _ in range(6):
        with pytest.raises(DeadlineExceeded):
            read(patient, budget_ms=5)
    assert time.monotonic() - started < 30
    assert patient.breaker.state is BreakerState.CLOSED, "an expired request deadline is not a failure of the store"
    store.hold.set()
    patient.bulkhead.close()


def test_guarded_read_passes_the_error_of_the_store_through(guarded: GuardedFeatures, store: Store) -> None:
    store.error = FeatureStoreUnavailable("the disk is gone")
    with pytest.raises(FeatureStoreUnavailable) as caught:
        read(guarded)
    assert caught.value is store.error


def test_breaker_stops_calls_to_a_store_that_keeps_failing(guarded: GuardedFeatures, store: Store) -> None:
    store.error = FeatureStoreUnavailable("down")
    for _ in range(3):
        with pytest.raises(FeatureStoreUnavailable):
            read(guarded)
    asked = len(store.asked)
    with pytest.raises(BreakerOpen):
        read(guarded)
    assert len(store.asked) == asked


def test_breaker_stops_calls_to_a_hung_store_once_the_bulkhead_is_full(guarded: GuardedFeatures, store: Store) -> None:
    store.hold.clear()
    errors = []
    for _ in range(4):
        with pytest.raises((FeatureStoreSlow, BulkheadFull, BreakerOpen)) as caught:
            read(guarded)
        errors.append(caught.type)
    assert errors[:2] == [FeatureStoreSlow, FeatureStoreSlow]
    assert errors[3] is BreakerOpen
    assert len(store.asked) <= 1, "one call occupies the worker, the others are not tried"


def test_bug_in_the_store_passes_through_and_does_not_open_the_breaker(guarded: GuardedFeatures, store: Store) -> None:
    store.error = ZeroDivisionError()
    for _ in range(10):
        with pytest.raises(ZeroDivisionError):
            read_again(guarded)
    assert guarded.breaker.state is BreakerState.CLOSED


def read_again(guarded: GuardedFeatures) -> FeatureRow:
    """Read once the bulkhead has released its slot, which happens shortly after the answer."""
    until = time.monotonic() + 60
    while not guarded.bulkhead._places.acquire(blocking=False):
        assert time.monotonic() < until
        time.sleep(0.001)
    guarded.bulkhead._places.release()
    return read(guarded)
