"""A deadline reports its remaining time, and a tighter deadline never extends it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import DeadlineExceeded
from infra.resilience.deadline import Deadline


def test_new_deadline_has_its_full_budget_left() -> None:
    before = time.monotonic()
    left_s = Deadline.after_ms(1000).remaining_s()
    assert 1.0 - (time.monotonic() - before) - 1e-9 <= left_s <= 1.0


def test_remaining_time_of_a_deadline_decreases() -> None:
    deadline = Deadline.after_ms(1000)
    first = deadline.remaining_s()
    time.sleep(0.01)
    assert deadline.remaining_s() <= first - 0.009


def test_expired_deadline_has_zero_time_left() -> None:
    assert Deadline(time.monotonic() - 5).remaining_s() == 0


def test_check_raises_after_the_deadline() -> None:
    with pytest.raises(DeadlineExceeded, match="ranking"):
        Deadline(time.monotonic() - 1).check("ranking")
    Deadline.after_ms(60_000).check("ranking")


@given(budget_ms=st.floats(0, 1e6), inner_ms=st.floats(0, 1e6))
@settings(deadline=None, max_examples=50)
def test_tighter_deadline_is_the_earlier_of_both(budget_ms: float, inner_ms: float) -> None:
    outer, before = Deadline.after_ms(budget_ms), time.monotonic()
    inner = outer.tighter(inner_ms)
    assert inner.at <= outer.at
    assert inner.at <= time.monotonic() + inner_ms / 1000
    assert inner.at == outer.at or inner.at >= before + inner_ms / 1000
