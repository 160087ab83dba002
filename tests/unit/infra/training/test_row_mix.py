"""A window leaves out whole days, and a weight counts live rows more."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from infra.columns import DAY_S
from infra.simulation.streams import end_ts, start_ts
from infra.training.row_mix import first_day_of, live_weights, oldest_ts, repeated


@dataclass(frozen=True)
class Span:
    start: str = "2026-01-05T00:00:00+00:00"
    days: int = 10


START, END = start_ts(Span()), end_ts(Span())


def test_a_window_begins_at_a_midnight_and_is_never_shorter_than_its_days() -> None:
    assert oldest_ts(END, 3) == END - 3 * DAY_S
    assert oldest_ts(END + 1, 3) == END - 3 * DAY_S
    assert oldest_ts(END + DAY_S - 1, 3) == END - 3 * DAY_S
    assert oldest_ts(END + DAY_S, 3) == END - 2 * DAY_S


@pytest.mark.parametrize(
    ("until_ts", "train_days", "first"),
    [(END, 365, 1), (END, 9, 1), (END, 8, 2), (END, 4, 6), (END, 1, 7), (END + 1, 4, 6), (END + 30 * DAY_S, 3, 7)],
)
def test_the_history_begins_at_the_window_and_keeps_its_last_day(until_ts: float, train_days: int, first: int) -> None:
    """Days 8 and 9 are the holdout, and the knob `first_day` is 1."""
    assert first_day_of(Span(), until_ts, train_days, 1, 8) == first


def test_rows_since_the_end_of_the_history_have_the_weight_of_live_rows() -> None:
    at_ts = np.array([START, END - 0.001, END, END + 1e6])
    assert live_weights(at_ts, Span(), 4.0).tolist() == [1, 1, 4, 4]
    assert live_weights(at_ts, Span(), 1.0).dtype == np.float32


def test_live_rows_are_repeated_by_their_weight_also_by_a_fraction_on_average() -> None:
    is_live = np.arange(4000) >= 2000
    assert repeated(is_live, 1.0, 7).tolist() == list(range(4000))
    assert repeated(is_live, 0.0, 7).tolist() == list(range(2000))
    times = np.bincount(repeated(is_live, 2.5, 7), minlength=4000)
    assert set(times[:2000]) == {1}
    assert set(times[2000:]) == {2, 3}
    assert times[2000:].mean() == pytest.approx(2.5, abs=0.05)
    np.testing.assert_array_equal(repeated(is_live, 2.5, 7), repeated(is_live, 2.5, 7))
