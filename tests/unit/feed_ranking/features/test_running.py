"""Running counts equal a count of the whole window, at any times and for events that arrive in any order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from feed_ranking.features.aggregates import reactions_to_posts
from feed_ranking.features.running import RunningCounts, RunningSums
from feed_ranking.items.live_counts import stats_at
from feed_ranking.worker.append_log import GrowingLog
from infra.columns import DAY_S
from tests.support.feed_tables import CONFIG, END, START, Event, as_table, catalogue, event_log, events

WINDOW_DAYS = 1
"""short, so that events leave the window during the test"""
SHORT = replace(CONFIG, features=replace(CONFIG.features, window_days=WINDOW_DAYS))
SECONDS = st.integers(int(START), int(END)).map(float)


def running_counts() -> RunningCounts:
    return RunningCounts(WINDOW_DAYS * DAY_S)


@given(st.lists(events(), max_size=8), st.lists(st.tuples(SECONDS, st.lists(events(), max_size=6)), max_size=5))
@settings(deadline=None)
def test_counts_of_a_growing_log_equal_a_count_of_the_whole_log(
    history: list[Event], batches: list[tuple[float, list[Event]]]
) -> None:
    """Times go forth and back, and events arrive before and after the times from which they count."""
    known, counts = catalogue(), running_counts()
    log = GrowingLog(event_log(history))
    for t, batch in batches:
        counts.changed(log.add(as_table(batch), known).min(initial=np.inf))
        found, wanted = stats_at(log.log, known, SHORT, t, counts), stats_at(log.log, known, SHORT, t)
        for name, values in vars(wanted).items():
            np.testing.assert_array_equal(getattr(found, name), values, err_msg=name)
    everything = event_log([*history, *(event for _, batch in batches for event in batch)])
    np.testing.assert_array_equal(log.log.known_s, everything.known_s)
    assert log.log.counts.sum() == everything.counts.sum()


def test_counts_include_posts_that_were_published_after_the_last_count() -> None:
    known, sums = catalogue(), RunningSums(reactions_to_posts, np.inf)
    log = GrowingLog(event_log([Event(START + 1, 0, 2, 1, clicked=1)]))
    assert sums.at(log.log, len(known.posts), START + 2)[2].tolist() == [1, 1, 0, 0, 0]
    later = known.with_posts(known.posts.iloc[[0]].assign(post_id=99))
    log.add(as_table([Event(START + 3, 0, 2, 1), Event(START + 3, 0, 4, 1)]), later)
    found = sums.at(log.log, len(later.posts), START + 4)
    assert found.shape == (7, 5)
    assert (found[2, 0], found[4, 0], found[6, 0]) == (2, 1, 0)


def test_only_new_events_are_counted_and_those_that_left_the_window() -> None:
    counted = []

    def count(log: object, window: slice, size: int) -> np.ndarray:
        counted.append((window.start, window.stop))
        return np.zeros((size, 5))

    log = event_log([Event(START + second, 0, 0, 1) for second in range(10)])
    sums = RunningSums(count, 4.0)
    for t in (4.0, 6.0, 9.0):
        sums.at(log, 1, START + t)
    assert counted == [(0, 4), (4, 6), (0, 2), (6, 9), (2, 5)]
