"""A hung dependency occupies only the slots of its own bulkhead."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from infra.errors import BulkheadFull, DeadlineExceeded, FeatureStoreUnavailable
from infra.resilience.bulkhead import Bulkhead
from infra.resilience.deadline import Deadline


def soon() -> Deadline:
    return Deadline.after_ms(20)


def later() -> Deadline:
    return Deadline.after_ms(60_000)


@pytest.fixture
def bulkhead() -> Iterator[Bulkhead]:
    opened = Bulkhead("store", workers=1, queue=1)
    yield opened
    opened.close()


@pytest.fixture
def hang() -> Iterator[threading.Event]:
    """Set at the end of the test in any case, so that no thread outlives it."""
    release = threading.Event()
    yield release
    release.set()


def eventually(call: Callable[[], Any]) -> Any:
    """Retry `call` while the bulkhead is full: another thread releases the slot shortly after the answer."""
    until = time.monotonic() + 60
    while True:
        try:
            return call()
        except BulkheadFull:
            assert time.monotonic() < until, "no slot was released"
            time.sleep(0.001)


def occupy(bulkhead: Bulkhead, hang: threading.Event) -> None:
    """Occupy a worker until `hang` is set. Retry if the thread did not start before the deadline."""
    begun = threading.Event()

    def call() -> None:
        begun.set()
        hang.wait()

    while not begun.is_set():
        with pytest.raises(DeadlineExceeded):
            bulkhead.run(call, soon())


def test_bulkhead_returns_a_result_before_the_deadline(bulkhead: Bulkhead) -> None:
    assert bulkhead.run(lambda: "row", later()) == "row"


def test_bulkhead_runs_calls_in_its_own_threads(bulkhead: Bulkhead) -> None:
    assert "store" in bulkhead.run(lambda: threading.current_thread().name, later())


def test_hung_call_raises_at_the_deadline(bulkhead: Bulkhead, hang: threading.Event) -> None:
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        bulkhead.run(hang.wait, soon())
    assert 0.015 < time.monotonic() - started < 30


def test_full_bulkhead_rejects_immediately_without_running_the_call(hang: threading.Event) -> None:
    bulkhead = Bulkhead("store", workers=1, queue=0)
    occupy(bulkhead, hang)
    tried: list[int] = []
    started = time.monotonic()
    with pytest.raises(BulkheadFull):
        bulkhead.run(lambda: tried.append(1), later())
    assert time.monotonic() - started < 30
    hang.set()
    eventually(lambda: bulkhead.run(lambda: None, later()))
    assert not tried
    bulkhead.close()


def test_hung_call_keeps_its_slot_until_it_ends(hang: threading.Event) -> None:
    bulkhead = Bulkhead("store", workers=2, queue=0)
    for _ in range(2):
        occupy(bulkhead, hang)
    with pytest.raises(BulkheadFull):
        bulkhead.run(lambda: "row", later())
    hang.set()
    assert eventually(lambda: bulkhead.run(lambda: "row", later())) == "row"
    bulkhead.close()


def test_call_that_expires_in_the_queue_never_runs_and_releases_its_slot(
    bulkhead: Bulkhead, hang: threading.Event
) -> None:
    ran: list[int] = []
    occupy(bulkhead, hang)
    for _ in range(3):  # one queue slot, used three times
        with pytest.raises(DeadlineExceeded):
            bulkhead.run(lambda: ran.append(1), soon())
    hang.set()
    eventually(lambda: bulkhead.run(lambda: None, later()))
    assert not ran


@pytest.mark.parametrize("error", [FeatureStoreUnavailable("down"), ZeroDivisionError()])
def test_exceptions_release_the_slot(bulkhead: Bulkhead, error: Exception) -> None:
    def broken() -> None:
        raise error

    for _ in range(10):
        with pytest.raises(type(error)):
            eventually(lambda: bulkhead.run(broken, later()))


def test_timeout_error_of_the_call_itself_passes_through(bulkhead: Bulkhead) -> None:
    theirs = TimeoutError("the socket timed out")

    def broken() -> None:
        raise theirs

    with pytest.raises(TimeoutError) as caught:
        bulkhead.run(broken, later())
    assert caught.value is theirs


def test_result_at_the_deadline_is_returned_or_raises_deadline_exceeded(bulkhead: Bulkhead) -> None:
    class AnswersTooLate(Future[str]):
        """Finishes after the wait has timed out and before the next call of `done`."""

        def done(self) -> bool:
            if not super().done():
                self.set_result("row")
            return super().done()

    bulkhead._pool.submit = lambda _: AnswersTooLate()  # type: ignore[method-assign,assignment,misc]
    try:
        answer = bulkhead.run(lambda: "row", soon())
    except DeadlineExceeded:
        return
    assert answer == "row"


def test_call_that_cannot_be_submitted_takes_no_slot() -> None:
    closed = Bulkhead("store", workers=1, queue=1)
    closed.close()
    for _ in range(5):  # more calls than slots
        with pytest.raises(RuntimeError, match="shutdown"):
            closed.run(lambda: None, later())


def held(bulkhead: Bulkhead, *calls: Callable[[], Any], deadline: Deadline | None = None) -> list[Any]:
    """Await all calls concurrently and return their results; exceptions are returned."""

    async def run() -> list[Any]:
        asked = (bulkhead.run_async(call, deadline or later()) for call in calls)
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(run())


async def a_row() -> str:
    await asyncio.sleep(0.001)
    return "row"


async def for_ever() -> None:
    await asyncio.Event().wait()


def test_awaited_call_returns_its_result_without_a_thread(bulkhead: Bulkhead) -> None:
    before = threading.active_count()
    assert held(bulkhead, a_row, a_row) == ["row", "row"]
    assert threading.active_count() == before


def test_awaited_call_is_cancelled_at_the_deadline_and_releases_its_slot(bulkhead: Bulkhead) -> None:
    for _ in range(5):
        started = time.monotonic()
        found = held(bulkhead, for_ever, for_ever, deadline=soon())
        assert [type(one) for one in found] == [DeadlineExceeded] * 2
        assert 0.015 < time.monotonic() - started < 30
    assert held(bulkhead, a_row) == ["row"]


def test_awaited_call_beyond_capacity_is_rejected_without_running(bulkhead: Bulkhead) -> None:
    tried: list[int] = []

    async def third() -> None:
        tried.append(3)

    found = held(bulkhead, a_row, a_row, third)
    assert found[:2] == ["row", "row"]
    assert isinstance(found[2], BulkheadFull)
    assert not tried


def test_blocking_computation_past_the_deadline_raises(bulkhead: Bulkhead) -> None:
    async def computes() -> None:
        time.sleep(0.04)

    assert isinstance(held(bulkhead, computes, deadline=soon())[0], DeadlineExceeded)


@pytest.mark.parametrize("error", [FeatureStoreUnavailable("down"), TimeoutError("the socket timed out")])
def test_awaited_call_raises_its_own_error_and_releases_its_slot(bulkhead: Bulkhead, error: Exception) -> None:
    async def broken() -> None:
        raise error

    for _ in range(10):
        assert held(bulkhead, broken) == [error]
