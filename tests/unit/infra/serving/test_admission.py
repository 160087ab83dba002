"""What cannot be served in time is refused at once, and every place comes back."""

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
    """Work waits for it; set at the end whatever happens."""
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
        assert time.monotonic() < until, f"{admission._pending} places did not come back"
        await asyncio.sleep(0.001)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 120))


def test_work_is_done_in_a_thread_and_its_answer_comes_back(admission: Admission) -> None:
    async def story() -> None:
        assert await admission.run(threading.get_ident) != threading.get_ident()

    run(story())


def test_one_more_than_all_places_is_refused_at_once_and_not_tried(admission: Admission, hold: threading.Event) -> None:
    tried: list[int] = []

    async def story() -> None:
        tasks = await fill(admission, hold)
        with pytest.raises(Overloaded):  # now: every place is taken until `hold` is set
            await admission.run(lambda: tried.append(1))
        assert not hold.is_set()
        hold.set()
        assert await asyncio.gather(*tasks) == [True] * len(tasks)
        assert not tried

    run(story())


def test_places_come_back_when_the_work_is_done(admission: Admission, hold: threading.Event) -> None:
    async def story() -> None:
        tasks = await fill(admission, hold)
        hold.set()
        await asyncio.gather(*tasks)
        for _ in range(2):
            assert await asyncio.gather(*(admission.run(lambda: 7) for _ in range(WORKERS + QUEUE))) == [7, 7, 7]

    run(story())


def test_a_place_is_free_as_soon_as_its_answer_is_there(admission: Admission) -> None:
    async def story() -> None:
        narrow = Admission(workers=1, queue=0)
        for i in range(50):
            assert await narrow.run(lambda i=i: i) == i
        narrow.close()

    run(story())


def test_places_come_back_when_the_work_fails(admission: Admission) -> None:
    def broken() -> None:
        raise ValueError("a bug")

    async def story() -> None:
        for _ in range(3 * (WORKERS + QUEUE)):
            with pytest.raises(ValueError, match="a bug"):
                await admission.run(broken)

    run(story())


def test_a_caller_that_gives_up_keeps_the_place_until_the_work_is_done(
    admission: Admission, hold: threading.Event
) -> None:
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


def test_refusals_take_no_place(admission: Admission, hold: threading.Event) -> None:
    async def story() -> None:
        tasks = await fill(admission, hold)
        for _ in range(20):
            with pytest.raises(Overloaded):
                await admission.run(lambda: None)
        hold.set()
        await asyncio.gather(*tasks)
        await eventually_free(admission)

    run(story())


def test_work_that_cannot_even_be_handed_over_takes_no_place(admission: Admission) -> None:
    async def story() -> None:
        admission.close()
        for _ in range(WORKERS + QUEUE + 1):
            with pytest.raises(RuntimeError, match="shutdown"):
                await admission.run(lambda: None)

    run(story())


def test_what_is_awaited_holds_a_place_without_a_thread_and_gives_it_back_however_it_ends(admission: Admission) -> None:
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
