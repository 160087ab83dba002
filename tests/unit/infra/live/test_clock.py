"""The world's time resumes where the history ended, and runs as fast as ours."""

from __future__ import annotations

import time

import pytest

from infra.live.clock import WorldClock

ANCHOR = 1_767_571_200.0  # 2026-01-05, UTC


def test_it_starts_at_the_anchor() -> None:
    assert WorldClock(ANCHOR).now() == pytest.approx(ANCHOR, abs=0.1)


def test_it_runs_as_fast_as_ours() -> None:
    clock, started = WorldClock(ANCHOR), time.monotonic()
    first = clock.now()
    time.sleep(0.05)
    assert clock.now() - first == pytest.approx(time.monotonic() - started, abs=0.02)


def test_it_never_goes_back() -> None:
    clock = WorldClock(ANCHOR)
    times = [clock.now() for _ in range(1000)]
    assert times == sorted(times)


def test_a_clock_that_is_set_on_this_machine_does_not_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = WorldClock(ANCHOR)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert clock.now() == pytest.approx(ANCHOR, abs=0.1)
