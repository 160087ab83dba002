"""A bulkhead: bounds the concurrent calls to one dependency, so that a hung dependency blocks no other work.

Python cannot kill a thread, so a call that misses its deadline continues in the background and keeps its place. When
such calls hold all places, the bulkhead refuses further calls at once and does not queue them. An awaited call is
cancelled at its deadline and releases its place at once.
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
            if future.done():  # the call ended at the last moment, or raised a TimeoutError itself
                return future.result()
            future.cancel()
            raise DeadlineExceeded(f"{self.name} did not answer in time") from None

    async def run_async(self, call: Callable[[], Awaitable[T]], deadline: Deadline) -> T:
        """Await `call` in the event loop until the deadline. Raises as `run` does.

        No thread is used, because the hand-over to a thread and back costs more than a short call. A call that
        computes cannot be interrupted; it raises `DeadlineExceeded` when it ends too late.
        """
        self._take_place()
        try:
            async with asyncio.timeout(max(deadline.remaining_s(), 0.0)) as timer:
                answer = await call()
        except TimeoutError:
            if not timer.expired():
                raise  # `call` itself raised the TimeoutError
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
        """Stop accepting calls. Hung calls continue until the process ends."""
        self._pool.shutdown(wait=False, cancel_futures=True)
