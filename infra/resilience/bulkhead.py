"""Bounded places for the calls of one dependency: when it hangs, it drowns alone.

Python cannot kill a thread, so a call that misses its deadline goes on in the background and keeps its
place. Once all places are taken by such calls, further ones are refused at once instead of queueing. What is awaited
can be cancelled, and gives its place back at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypeVar

from infra.errors import BulkheadFull, DeadlineExceeded
from infra.resilience.deadline import Deadline

T = TypeVar("T")


class Bulkhead:
    """At most `workers` calls run and `queue` calls wait; the next one raises `BulkheadFull`."""

    def __init__(self, name: str, *, workers: int, queue: int) -> None:
        self.name = name
        self._places = threading.BoundedSemaphore(workers + queue)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=f"bulkhead-{name}")

    def run(self, call: Callable[[], T], deadline: Deadline) -> T:
        """Run `call` in the pool and wait for it until the deadline.

        Raises `BulkheadFull` without trying when no place is free, and `DeadlineExceeded` when the time is up.
        """
        future = self._submit(call)
        try:
            return future.result(deadline.remaining_s())
        except FutureTimeout:
            if future.done():  # it ended just now, or raised a TimeoutError of its own: that is its answer, not ours
                return future.result()
            future.cancel()
            raise DeadlineExceeded(f"{self.name} did not answer in time") from None

    async def run_async(self, call: Callable[[], Awaitable[T]], deadline: Deadline) -> T:
        """The same for what an event loop awaits, without a thread: to hand a call to one and its answer back costs
        more than a short call.

        A call that computes cannot be cut short; it counts as late when it was.
        """
        self._take_place()
        try:
            async with asyncio.timeout(max(deadline.remaining_s(), 0.0)) as timer:
                answer = await call()
        except TimeoutError:
            if not timer.expired():
                raise  # of the call's own
            raise DeadlineExceeded(f"{self.name} did not answer in time") from None
        finally:
            self._places.release()
        deadline.check(self.name)
        return answer

    def _take_place(self) -> None:
        if not self._places.acquire(blocking=False):
            raise BulkheadFull(f"{self.name} is at its concurrency limit")

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        self._take_place()
        try:
            future: Future[T] = self._pool.submit(call)
        except BaseException:
            self._places.release()
            raise
        future.add_done_callback(lambda _: self._places.release())
        return future

    def close(self) -> None:
        """Stop taking calls. Calls that hang are left behind and end with the process."""
        self._pool.shutdown(wait=False, cancel_futures=True)
