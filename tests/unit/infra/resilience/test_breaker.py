"""The circuit breaker moves between its three states, driven by a manual clock."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import BreakerOpen, DeadlineExceeded, DependencyError, FeatureStoreUnavailable
from infra.resilience.breaker import BreakerState, CircuitBreaker

OPEN_S = 1.0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Inner:
    """The guarded dependency: each method has one outcome; `runs` counts the calls."""

    def __init__(self) -> None:
        self.runs = 0

    def ok(self) -> str:
        self.runs += 1
        return "fine"

    def fail(self) -> str:
        self.runs += 1
        raise FeatureStoreUnavailable("down")

    def bug(self) -> str:
        self.runs += 1
        raise ZeroDivisionError

    def spent(self) -> str:
        self.runs += 1
        raise DeadlineExceeded("the caller had no time left")


def attempt(breaker: CircuitBreaker, inner: Inner, how: str) -> type[BaseException] | None:
    try:
        breaker.call(getattr(inner, how))
    except Exception as exc:
        return type(exc)
    return None


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Awaited(CircuitBreaker):
    """Calls through `call_soon`. The awaited call never suspends, so one `send` completes it, also when nested."""

    def call(self, inner: Callable[[], Any]) -> Any:
        async def soon() -> Any:
            return inner()

        try:
            self.call_soon(soon).send(None)
        except StopIteration as end:
            return end.value
        raise AssertionError("the call suspended")


@pytest.fixture(params=[CircuitBreaker, Awaited])
def breaker(request: pytest.FixtureRequest, clock: Clock) -> CircuitBreaker:
    kind: type[CircuitBreaker] = request.param
    return kind("store", window=4, failure_share=0.5, min_calls=2, open_s=OPEN_S, clock=clock)


def open_it(breaker: CircuitBreaker) -> None:
    for _ in range(2):
        attempt(breaker, Inner(), "fail")
    assert breaker.state is BreakerState.OPEN


def test_breaker_returns_the_result_of_the_call(breaker: CircuitBreaker) -> None:
    assert breaker.call(lambda: 42) == 42


def test_failure_below_min_calls_does_not_open_the_breaker(breaker: CircuitBreaker) -> None:
    attempt(breaker, Inner(), "fail")
    assert breaker.state is BreakerState.CLOSED


def test_failures_outside_the_window_do_not_count(clock: Clock) -> None:
    breaker = CircuitBreaker("store", window=4, failure_share=0.5, min_calls=4, clock=clock)
    for how in ("fail", "ok", "ok", "ok", "ok", "fail"):
        attempt(breaker, Inner(), how)
    assert breaker.state is BreakerState.CLOSED  # one failure among the last four


def test_open_breaker_rejects_calls_without_trying_them(breaker: CircuitBreaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now += OPEN_S * 0.99
    inner = Inner()
    with pytest.raises(BreakerOpen):
        breaker.call(inner.ok)
    assert inner.runs == 0


def test_successful_probe_closes_the_breaker_and_clears_its_failures(breaker: CircuitBreaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now += OPEN_S
    assert breaker.state is BreakerState.HALF_OPEN
    breaker.call(Inner().ok)
    assert breaker.state is BreakerState.CLOSED
    attempt(breaker, Inner(), "fail")
    assert breaker.state is BreakerState.CLOSED


def test_failed_probe_reopens_the_breaker_for_the_full_open_time(breaker: CircuitBreaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now += OPEN_S * 5
    assert attempt(breaker, Inner(), "fail") is FeatureStoreUnavailable
    clock.now += OPEN_S * 0.99
    assert attempt(breaker, Inner(), "ok") is BreakerOpen
    clock.now += OPEN_S * 0.01
    assert breaker.state is BreakerState.HALF_OPEN


def test_bugs_pass_through_and_do_not_open_the_breaker(breaker: CircuitBreaker) -> None:
    for _ in range(20):
        assert attempt(breaker, Inner(), "bug") is ZeroDivisionError
    assert breaker.state is BreakerState.CLOSED


def test_bug_in_the_probe_passes_the_probe_to_the_next_call(breaker: CircuitBreaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now += OPEN_S
    assert attempt(breaker, Inner(), "bug") is ZeroDivisionError
    assert attempt(breaker, Inner(), "ok") is None
    assert breaker.state is BreakerState.CLOSED


def test_expired_deadlines_do_not_open_the_breaker(breaker: CircuitBreaker) -> None:
    for _ in range(20):
        assert attempt(breaker, Inner(), "spent") is DeadlineExceeded
    assert breaker.state is BreakerState.CLOSED


def test_probe_past_its_deadline_passes_the_probe_to_the_next_call(breaker: CircuitBreaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now += OPEN_S
    assert attempt(breaker, Inner(), "spent") is DeadlineExceeded
    assert attempt(breaker, Inner(), "ok") is None
    assert breaker.state is BreakerState.CLOSED


def test_late_failure_does_not_extend_the_open_time(breaker: CircuitBreaker, clock: Clock) -> None:
    def late() -> None:
        open_it(breaker)
        clock.now += OPEN_S * 0.9
        raise FeatureStoreUnavailable("started while closed, failed while open")

    with pytest.raises(FeatureStoreUnavailable):
        breaker.call(late)
    clock.now += OPEN_S * 0.1
    assert breaker.state is BreakerState.HALF_OPEN


def test_late_success_does_not_close_the_breaker(breaker: CircuitBreaker) -> None:
    breaker.call(lambda: open_it(breaker))
    assert breaker.state is BreakerState.OPEN


def test_failure_from_before_the_open_time_is_ignored_after_closing(clock: Clock) -> None:
    breaker = CircuitBreaker("store", min_calls=1, open_s=OPEN_S, clock=clock)

    def late() -> None:
        attempt(breaker, Inner(), "fail")
        clock.now += OPEN_S
        breaker.call(Inner().ok)  # the probe: the store has recovered
        raise FeatureStoreUnavailable("late failure from an earlier outage")

    with pytest.raises(FeatureStoreUnavailable):
        breaker.call(late)
    assert breaker.state is BreakerState.CLOSED


def test_half_open_breaker_admits_exactly_one_concurrent_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    open_it(breaker)
    clock.now += OPEN_S
    crowd = 50
    together, answer, refused = threading.Barrier(crowd), threading.Event(), threading.Semaphore(0)
    probes: list[int] = []

    def probe() -> None:
        probes.append(threading.get_ident())
        answer.wait(60)

    def caller() -> bool:
        together.wait(60)
        try:
            breaker.call(probe)
        except BreakerOpen:
            refused.release()
            return False
        return True

    with ThreadPoolExecutor(crowd) as pool:
        calls = [pool.submit(caller) for _ in range(crowd)]
        try:
            assert all(refused.acquire(timeout=60) for _ in range(crowd - 1)), "refused while the probe is pending"
            assert len(probes) == 1
            assert breaker.state is BreakerState.HALF_OPEN
        finally:
            answer.set()
    assert sum(call.result() for call in calls) == 1
    assert breaker.state is BreakerState.CLOSED


@given(
    ops=st.lists(st.sampled_from(["ok", "fail", "bug", "spent", "wait a little", "wait long"]), max_size=60),
    window=st.integers(1, 6),
    min_calls=st.integers(1, 6),
    share=st.sampled_from([0.25, 0.5, 1.0]),
)
@settings(deadline=None, max_examples=150)
def test_breaker_matches_the_state_machine_for_any_sequence_of_calls(
    ops: list[str], window: int, min_calls: int, share: float
) -> None:
    min_calls = min(min_calls, window)
    clock, inner = Clock(), Inner()
    breaker = CircuitBreaker(
        "store", window=window, failure_share=share, min_calls=min_calls, open_s=OPEN_S, clock=clock
    )
    recent: deque[bool] = deque(maxlen=window)
    opened_at = 0.0
    for op in ops:
        if op.startswith("wait"):
            clock.now += OPEN_S / 4 if op == "wait a little" else OPEN_S
            continue
        before, runs_before = breaker.state, inner.runs
        error = attempt(breaker, inner, op)
        if before is BreakerState.OPEN:
            assert clock.now - opened_at < OPEN_S
            assert (inner.runs, error) == (runs_before, BreakerOpen)
            continue
        assert inner.runs == runs_before + 1
        assert (error is None, error is ZeroDivisionError) == (op == "ok", op == "bug")
        if before is BreakerState.HALF_OPEN:
            assert clock.now - opened_at >= OPEN_S
            expected = {"ok": BreakerState.CLOSED, "fail": BreakerState.OPEN}.get(op, BreakerState.HALF_OPEN)
            recent.clear()
        else:
            counts = op in ("ok", "fail")
            if counts:
                recent.append(op == "fail")
            is_bad = counts and len(recent) >= min_calls and sum(recent) >= share * len(recent)
            expected = BreakerState.OPEN if is_bad else BreakerState.CLOSED
        assert breaker.state is expected
        if expected is BreakerState.OPEN:
            opened_at = clock.now


def test_breaker_open_is_a_dependency_error() -> None:
    assert issubclass(BreakerOpen, DependencyError)


def test_breaker_rejects_min_calls_above_the_window() -> None:
    with pytest.raises(ValueError, match="never holds"):
        CircuitBreaker("store", window=4, min_calls=5)
