"""The selector that keeps a client of Kafka from spinning, by a clock of its own."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from infra.stream import patience
from infra.stream.patience import AT_ONCE, PER_S, PatientSelector


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now_s=100.0, slept_s=0.0)

    def sleep(seconds: float) -> None:
        clock.now_s += seconds
        clock.slept_s += seconds

    monkeypatch.setattr(patience, "time", SimpleNamespace(monotonic=lambda: clock.now_s, sleep=sleep))
    return clock


def test_who_asks_without_end_is_slowed_down(clock: SimpleNamespace) -> None:
    with PatientSelector() as selector:
        asked = 0
        while clock.now_s < 110.0:
            selector.select(0)
            clock.now_s += 1e-5  # what a question takes
            asked += 1
    assert asked <= AT_ONCE + 10 * PER_S + 10
    assert clock.slept_s > 9


def test_who_asks_now_and_then_never_waits(clock: SimpleNamespace) -> None:
    with PatientSelector() as selector:
        for _ in range(5_000):
            selector.select(0)
            clock.now_s += 1.05 / PER_S
        for _ in range(int(AT_ONCE) - 1):  # and may hurry after that
            selector.select(0)
    assert clock.slept_s == 0


def test_what_is_ready_is_told_all_the_same(clock: SimpleNamespace) -> None:
    left, right = socket.socketpair()
    with left, right, PatientSelector() as selector:
        selector.register(left, patience.selectors.EVENT_READ)
        right.send(b"x")
        for _ in range(2_000):
            assert [key.fileobj for key, _ in selector.select(0)] == [left]
