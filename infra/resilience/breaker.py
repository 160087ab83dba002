"""A circuit breaker: after enough failures it refuses calls to a dependency, then probes it with one call at a time.

States: *closed* (calls pass, and outcomes are counted over a sliding window of calls), *open* (calls are refused for
`open_s`), *half open* (exactly one probe passes; its outcome closes or reopens the breaker). The lab has its own
breaker because published packages serialise the guarded calls or let many probes through in the half-open state.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import TypeVar

from infra.errors import BreakerOpen, DeadlineExceeded, DependencyError

T = TypeVar("T")


class BreakerState(IntEnum):
    """State of a breaker. The gauge `lab_breaker_state` exports the number."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class CircuitBreaker:
    """Opens when at least `failure_share` of the last `window` calls failed, after at least `min_calls` calls.

    Only a `DependencyError` counts as a failure, so that a breaker cannot hide a bug in our own code. A
    `DeadlineExceeded` does not count: it means that the request ran out of time. A caller with a timeout on the
    dependency itself raises another `DependencyError`. `clock` returns monotonic seconds; tests pass their own.
    """

    def __init__(
        self,
        name: str,
        *,
        window: int = 20,
        failure_share: float = 0.5,
        min_calls: int = 5,
        open_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if min_calls > window:
            raise ValueError(f"a window of {window} calls never holds {min_calls}")
        self.name = name
        self._outcomes: deque[bool] = deque(maxlen=window)
        self._failure_share, self._min_calls, self._open_s = failure_share, min_calls, open_s
        self._clock = clock
        self._lock = threading.Lock()
        self._state = BreakerState.CLOSED
        self._opened_at = 0.0
        self._probing = False
        self._generation = 0  # number of openings and closings; a call from an earlier period has another value

    @property
    def state(self) -> BreakerState:
        with self._lock:
            if self._state is BreakerState.OPEN and self._clock() - self._opened_at >= self._open_s:
                return BreakerState.HALF_OPEN
            return self._state

    def call(self, inner: Callable[[], T]) -> T:
        """Run `inner`, or raise `BreakerOpen` without running it."""
        with self._counted():
            return inner()

    async def call_soon(self, inner: Callable[[], Awaitable[T]]) -> T:
        """Await `inner()`, or raise `BreakerOpen` without calling `inner`."""
        with self._counted():
            return await inner()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        is_probe, generation = self._admit()
        try:
            yield
        except DeadlineExceeded:
            self._forget(is_probe)  # the request ran out of time, which is no evidence about the dependency
            raise
        except DependencyError:
            self._record(failed=True, is_probe=is_probe, generation=generation)
            raise
        except BaseException:
            self._forget(is_probe)
            raise
        self._record(failed=False, is_probe=is_probe, generation=generation)

    def _admit(self) -> tuple[bool, int]:
        with self._lock:
            if self._state is BreakerState.CLOSED:
                return False, self._generation
            waited = self._clock() - self._opened_at
            if waited < self._open_s or self._probing:
                raise BreakerOpen(
                    f"{self.name} failed repeatedly; next probe in {max(0.0, self._open_s - waited):.1f} s"
                )
            self._probing = True
            return True, self._generation

    def _record(self, *, failed: bool, is_probe: bool, generation: int) -> None:
        with self._lock:
            if is_probe:
                self._probing = False
                if failed:
                    self._opened_at = self._clock()
                else:
                    self._state = BreakerState.CLOSED
                    self._outcomes.clear()
                    self._generation += 1
                return
            if generation != self._generation:
                return  # the call began before the breaker last opened or closed, so its outcome is outdated
            self._outcomes.append(failed)
            failures = sum(self._outcomes)
            if len(self._outcomes) >= self._min_calls and failures >= self._failure_share * len(self._outcomes):
                self._state = BreakerState.OPEN
                self._opened_at = self._clock()
                self._generation += 1

    def _forget(self, is_probe: bool) -> None:
        if is_probe:
            with self._lock:
                self._probing = False
