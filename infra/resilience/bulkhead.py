"""A bounded pool of threads for one dependency: when it hangs, it drowns alone.

Python cannot kill a thread, so a call that misses its deadline goes on in the background and keeps its
place. Once all places are taken by such calls, further ones are refused at once instead of queueing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
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

    async def run_soon(self, call: Callable[[], T], deadline: Deadline) -> T:
        """The same, awaited by an event loop instead of a thread."""
        future = self._submit(call)
        answer = asyncio.wrap_future(future)
        done, _ = await asyncio.wait([answer], timeout=deadline.remaining_s())
        if not done:
            future.cancel()
            raise DeadlineExceeded(f"{self.name} did not answer in time")
        answer.exception()  # asyncio makes a `TimeoutError` of its own of the call's; the call's is what is passed on
        return future.result()

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        if not self._places.acquire(blocking=False):
            raise BulkheadFull(f"all places of {self.name} are taken")
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
