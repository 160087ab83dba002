"""Admission rejects excess requests immediately and releases every slot."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from infra.serving.admission import Admission
from infra.serving.problems import Overloaded

WORKERS, QUEUE = 2, 1


@pytest.fixture
def hold() -> Iterator[threading.Event]:
    """Blocks the work; set at the end of the test in any case."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def admission() -> Iterator[Admission]:
    made = Admission(workers=WORKERS, queue=QUEUE)
    yield made
    made.close()


async def fill(admission: Admission, hold: threading.Event, count: int = WORKERS + QUEUE) -> list[asyncio.Task[bool]]:
    tasks = [asyncio.create_task(admission.run(lambda: hold.wait(60))) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


async def eventually_free(admission: Admission) -> None:
    until = time.monotonic() + 60
    while admission._pending:
        assert time.monotonic() < until, f"{admission._pending} slots were not released"
        await asyncio.sleep(0.001)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 120))


def test_admission_runs_work_in_a_thread_and_returns_its_result(admission: Admission) -> None:
    async def story() -> None:
        assert await admission.run(threading.get_ident) != threading.get_ident()

    run(story())


def test_prepared_work_runs_in_a_thread_and_preparation_in_the_loop(admission: Admission) -> None:
    async def prepare() -> int:
        return threading.get_ident()

    async def story() -> None:
        prepared_in, ran_in = await admission.run_after(prepare, lambda found: (found, threading.get_ident()))
        assert prepared_in == threading.get_ident() != ran_in
        await eventually_free(admission)

    run(story())


def test_preparation_takes_a_slot_and_gives_it_back_when_it_fails(admission: Admission) -> None:
    async def story() -> None:
        go_on = asyncio.Event()

        async def prepare() -> None:
            await go_on.wait()
            raise ValueError("not prepared")

        tasks = [asyncio.create_task(admission.run_after(prepare, lambda _: None)) for _ in range(WORKERS + QUEUE)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await admission.run_after(prepare, lambda _: None)
        go_on.set()
        assert [type(found) for found in await asyncio.gather(*tasks, return_exceptions=True)] == [ValueError] * 3
        assert not admission.is_busy

    run(story())


def test_request_beyond_capacity_is_rejected_immediately_without_running(
    admission: Admission, hold: threading.Event
) -> None:
    tried: list[int] = []

    async def story() -> None:
        tasks = await fill(admission, hold)
        with pytest.raises(Overloaded):  # every slot is taken until `hold` is set
            await admission.run(lambda: tried.append(1))
        assert not hold.is_set()
        hold.set()
        assert await asyncio.gather(*tasks) == [True] * len(tasks)
        assert not tried

    run(story())


def test_finished_work_releases_its_slot(admission: Admission, hold: threading.Event) -> None:
    async def story() -> None:
        tasks = await fill(admission, hold)
        hold.set()
        await asyncio.gather(*tasks)
        for _ in range(2):
            assert await asyncio.gather(*(admission.run(lambda: 7) for _ in range(WORKERS + QUEUE))) == [7, 7, 7]

    run(story())


def test_slot_is_free_as_soon_as_the_result_is_returned(admission: Admission) -> None:
    async def story() -> None:
        narrow = Admission(workers=1, queue=0)
        for i in range(50):
            assert await narrow.run(lambda i=i: i) == i
        narrow.close()

    run(story())


def test_failed_work_releases_its_slot(admission: Admission) -> None:
    def broken() -> None:
        raise ValueError("a bug")

    async def story() -> None:
        for _ in range(3 * (WORKERS + QUEUE)):
            with pytest.raises(ValueError, match="a bug"):
                await admission.run(broken)

    run(story())


def test_cancelled_caller_keeps_its_slot_until_the_work_ends(admission: Admission, hold: threading.Event) -> None:
    async def story() -> None:
        tasks = await fill(admission, hold)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)
        with pytest.raises(Overloaded):
            await admission.run(lambda: None)
        hold.set()
        await eventually_free(admission)
        assert await admission.run(lambda: 7) == 7

    run(story())


def test_rejected_requests_take_no_slot(admission: Admission, hold: threading.Event) -> None:
    async def story() -> None:
        tasks = await fill(admission, hold)
        for _ in range(20):
            with pytest.raises(Overloaded):
                await admission.run(lambda: None)
        hold.set()
        await asyncio.gather(*tasks)
        await eventually_free(admission)

    run(story())


def test_work_that_cannot_be_submitted_takes_no_slot(admission: Admission) -> None:
    async def story() -> None:
        admission.close()
        for _ in range(WORKERS + QUEUE + 1):
            with pytest.raises(RuntimeError, match="shutdown"):
                await admission.run(lambda: None)

    run(story())


def test_awaited_work_holds_a_slot_without_a_thread_and_always_releases_it(admission: Admission) -> None:
    async def story() -> None:
        go = asyncio.Event()

        async def wait() -> int:
            await go.wait()
            return threading.get_ident()

        async def fail() -> None:
            raise ZeroDivisionError

        tasks = [asyncio.create_task(admission.run_async(wait)) for _ in range(WORKERS + QUEUE)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await admission.run_async(wait)
        go.set()
        assert set(await asyncio.gather(*tasks)) == {threading.get_ident()}
        with pytest.raises(ZeroDivisionError):
            await admission.run_async(fail)
        assert admission._pending == 0

    run(story())
