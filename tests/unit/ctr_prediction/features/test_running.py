"""Running counts equal a count of the whole window, at any times and for events that arrive in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctr_prediction.config import SMOKE
from ctr_prediction.events.history import EventLog, with_clicks
from ctr_prediction.events.schemas import Click, Impression
from ctr_prediction.events.tables import click_rows, shown_rows
from ctr_prediction.features import running
from ctr_prediction.features.aggregates import ad_stats_at
from ctr_prediction.features.running import RunningCounts
from ctr_prediction.worker.append_log import GrowingLog
from infra.columns import DAY_S
from tests.support.ctr_events import ADS, START, catalogue, click, impression

CATALOGUE = catalogue()
WINDOW_S = SMOKE.features.window_days * DAY_S
HISTORY = [impression(number, ad_id=number % ADS, seen_ts=START - WINDOW_S + number) for number in range(8)]
"""these impressions leave the window during the test"""
TIMES = st.lists(st.integers(0, 14), min_size=1, max_size=5).map(sorted)


def running_counts() -> RunningCounts:
    return RunningCounts(ADS, WINDOW_S)


def log_of(shown: list[Impression], clicks: list[Click]) -> EventLog:
    return EventLog.of(with_clicks(shown_rows(shown), click_rows(clicks) if clicks else None), CATALOGUE)


def assert_counts(counts: RunningCounts, log: EventLog, t: float) -> None:
    for found, wanted in zip(counts.at(log, t), ad_stats_at(log, CATALOGUE, SMOKE, t), strict=True):
        np.testing.assert_array_equal(found, wanted)
        assert found.dtype == wanted.dtype


@st.composite
def arrivals(draw: st.DrawFn) -> list[tuple[int, list[Impression | Click]]]:
    """Batches of events, each with the second at which the worker counts after it."""
    batches = []
    number = 100
    for t in draw(TIMES):
        shown = [
            impression(number + place, ad_id=draw(st.integers(0, ADS - 1)), seen_ts=START + draw(st.integers(0, 12)))
            for place in range(draw(st.integers(0, 4)))
        ]
        number += len(shown)
        some = draw(st.lists(st.integers(100, number), max_size=4))  # the last number has no impression yet
        clicks = [click(one, label_ts=START + draw(st.integers(0, 14))) for one in some]
        batches.append((t, [*shown, *clicks]))
    return batches


@given(arrivals())
@settings(deadline=None)
def test_counts_of_a_growing_log_equal_a_count_of_its_window(
    batches: list[tuple[int, list[Impression | Click]]],
) -> None:
    log, counts = GrowingLog(log_of(HISTORY, [click(1, label_ts=START - WINDOW_S + 3)]), CATALOGUE), running_counts()
    for t, events in batches:
        for added in (
            log.add(shown_rows([event for event in events if isinstance(event, Impression)])),
            log.click(click_rows([event for event in events if isinstance(event, Click)])),
        ):
            counts.changed(added.at_s.min(initial=np.inf))
        assert_counts(counts, log.log, START + t)


def test_counts_at_an_earlier_time_are_counted_anew() -> None:
    log, counts = log_of([impression(1, ad_id=2, seen_ts=START + 5)], [click(1, label_ts=START + 7)]), running_counts()
    for t in (10.0, 6.0, 4.0, 8.0):
        assert_counts(counts, log, START + t)


def test_each_event_is_read_once_when_it_comes_and_once_when_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    def count(cells: np.ndarray, minlength: int) -> np.ndarray:
        read.append(len(cells))
        return np.zeros(minlength, np.int64)

    log, counts = log_of([impression(n, ad_id=1, seen_ts=START + n) for n in range(50)], []), running_counts()
    monkeypatch.setattr(running.np, "bincount", count)
    for t in range(0, 60, 5):
        counts.at(log, START + t)
    counts.at(log, START + 60 + WINDOW_S)
    assert sum(read) == 2 * 50
