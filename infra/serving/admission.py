"""Admission control: at most `workers` requests compute and `queue` requests wait; any further request gets a 503.

Ranking runs in threads because its native code releases the interpreter lock. The event loop stays free to shed load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from infra.serving.problems import Overloaded

S = TypeVar("S")
T = TypeVar("T")


class Admission:
    """Limits concurrent requests. Only one event loop may use an instance."""

    def __init__(self, *, workers: int, queue: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="request")
        self._limit = workers + queue
        self._pending = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread. Raises `Overloaded` immediately if all workers and queue slots are in use."""
        self._check_capacity()
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        self._pending += 1
        future.add_done_callback(self._leave)  # also after a cancellation, because the thread keeps running
        return await asyncio.shield(future)

    async def run_after(self, prepare: Callable[[], Awaitable[S]], work: Callable[[S], T]) -> T:
        """Await `prepare`, which mostly waits for I/O, then run `work` with its result in a thread. Both together take
        one slot. Raises `Overloaded` like `run`."""
        self._check_capacity()
        self._pending += 1
        try:
            prepared = await prepare()
            future = asyncio.get_running_loop().run_in_executor(self._pool, work, prepared)
        except BaseException:
            self._leave()
            raise
        future.add_done_callback(self._leave)
        return await asyncio.shield(future)

    async def run_async(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await `work`, which mostly waits for I/O. It takes a slot but no thread. Raises `Overloaded` like `run`."""
        self._check_capacity()
        self._pending += 1
        try:
            return await work()
        finally:
            self._leave()

    @property
    def is_busy(self) -> bool:
        """True while a request runs or waits. Any thread may ask."""
        return self._pending > 0

    def _check_capacity(self) -> None:
        if self._pending >= self._limit:
            raise Overloaded(f"{self._limit} requests are already running or waiting")

    def _leave(self, _: object = None) -> None:
        self._pending -= 1

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
