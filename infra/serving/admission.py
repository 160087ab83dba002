"""Bounded work: at most `workers` requests compute and `queue` wait; the next one is shed with a 503.

Ranking is native code that releases the interpreter lock, so it runs in threads; the event loop stays free to
refuse what cannot be served in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from infra.serving.problems import Overloaded

T = TypeVar("T")


class Admission:
    """Used from one event loop only."""

    def __init__(self, *, workers: int, queue: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="request")
        self._limit = workers + queue
        self._pending = 0

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread. Raises `Overloaded` at once when every place is taken."""
        self._need_room()
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        self._pending += 1
        future.add_done_callback(self._leave)  # also when the caller gives up: the thread goes on until it is done
        return await asyncio.shield(future)

    async def run_async(self, work: Callable[[], Awaitable[T]]) -> T:
        """Await `work`, which mostly waits for I/O, in a place but without a thread. Raises as `run` does."""
        self._need_room()
        self._pending += 1
        try:
            return await work()
        finally:
            self._leave()

    def _need_room(self) -> None:
        if self._pending >= self._limit:
            raise Overloaded(f"{self._limit} requests are being served or wait already")

    def _leave(self, _: object = None) -> None:
        self._pending -= 1

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
