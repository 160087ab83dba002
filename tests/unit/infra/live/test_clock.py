"""The world clock starts at its anchor and runs at the speed of the monotonic clock."""

from __future__ import annotations

import time

import pytest

from infra.live.clock import WorldClock

ANCHOR = 1_767_571_200.0  # 2026-01-05, UTC
SLACK_S = 1e-3
"""for rounding"""


def test_world_clock_starts_at_the_anchor() -> None:
    before = time.monotonic()
    now = WorldClock(ANCHOR).now()
    assert ANCHOR - SLACK_S <= now <= ANCHOR + time.monotonic() - before + SLACK_S


def test_world_clock_runs_at_real_time() -> None:
    clock, before = WorldClock(ANCHOR), time.monotonic()
    first, begun = clock.now(), time.monotonic()
    time.sleep(0.05)
    ended, last = time.monotonic(), clock.now()
    assert ended - begun - SLACK_S <= last - first <= time.monotonic() - before + SLACK_S


def test_world_clock_never_goes_back() -> None:
    clock = WorldClock(ANCHOR)
    times = [clock.now() for _ in range(1000)]
    assert times == sorted(times)


def test_world_clock_ignores_changes_of_the_system_time(monkeypatch: pytest.MonkeyPatch) -> None:
    before, clock = time.monotonic(), WorldClock(ANCHOR)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert ANCHOR - SLACK_S <= clock.now() <= ANCHOR + time.monotonic() - before + SLACK_S
