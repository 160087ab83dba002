"""Aggregates handle live data: late events, unknown ids, and posts newer than the history."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed_ranking.domain import COUNTS
from feed_ranking.events.history import EventLog
from feed_ranking.features.aggregates import REGIONS, activity_at, creator_stats_at, hottest, post_heat, post_stats_at
from infra.columns import DAY_S
from tests.support.feed_tables import (
    CONFIG,
    CREATORS,
    END,
    START,
    TOPICS,
    USERS,
    Event,
    as_table,
    catalogue,
    event_log,
    events,
)
from tests.support.live_log import reaction, table

LOGS = st.lists(events(), max_size=20)
FAR = 10**17


def assert_same(log: EventLog, other: EventLog) -> None:
    for name, values in other.columns().items():
        np.testing.assert_array_equal(getattr(log, name), values, err_msg=name)
        assert getattr(log, name).dtype == values.dtype
    assert log.unknown == other.unknown


@given(log=LOGS, cuts=st.lists(st.integers(0, 20), max_size=3))
@settings(deadline=None, max_examples=40)
def test_extended_event_log_equals_a_log_read_at_once(log: list[Event], cuts: list[int]) -> None:
    known, grown = catalogue(), EventLog.of(as_table([]), catalogue())
    edges = [0, *sorted(cuts), len(log)]
    for first, last in pairwise(edges):
        grown = grown.extended(as_table(log[first:last]), known)
    assert_same(grown, EventLog.of(as_table(log), known))
    assert_same(grown, event_log(log))


@given(log=LOGS, users=st.sets(st.integers(0, USERS + 3)), t=st.sampled_from([START, START + DAY_S, END]))
@settings(deadline=None, max_examples=60)
def test_activity_of_some_users_equals_their_rows_in_the_full_table(
    log: list[Event], users: set[int], t: float
) -> None:
    counted, asked = event_log(log), np.array(sorted(users), np.int64)
    everyone = activity_at(counted, CONFIG, t)
    theirs = everyone.filter(pc.is_in(everyone["user_id"], pa.array(asked)))
    assert activity_at(counted, CONFIG, t, asked).equals(theirs)


def test_sessions_are_counted_per_user_with_shared_session_ids() -> None:
    log = event_log([Event(START + 1, user, 0, session=7) for user in (0, 0, 2)])
    rows = activity_at(log, CONFIG, END).to_pylist() or activity_at(log, CONFIG, START + DAY_S).to_pylist()
    assert [(row["user_id"], row["counts_long"][COUNTS.index("sessions")]) for row in rows] == [(0, 1), (2, 1)]


@pytest.mark.parametrize("strange", [{"post_id": 77}, {"post_id": FAR}, {"user_id": USERS}, {"user_id": -1}])
def test_events_of_unknown_posts_or_users_are_skipped_and_counted(strange: dict[str, int]) -> None:
    fine = {"user_id": 1, "post_id": 2, "request_ts": START}
    log = EventLog.of(table([reaction(**fine), reaction(**(fine | strange))]), catalogue())
    assert (len(log), log.unknown) == (1, 1)
    log = log.extended(table([reaction(**(fine | strange)), reaction(**fine)]), catalogue())
    assert (len(log), log.unknown) == (2, 2)


def test_ads_are_skipped_and_not_counted_as_unknown() -> None:
    log = EventLog.of(table([reaction(user_id=1, post_id=-1, request_ts=START)]), catalogue())
    assert (len(log), log.unknown) == (0, 0)


def a_live_post(**given: Any) -> pd.DataFrame:
    old = catalogue().posts.iloc[[0]]
    return old.assign(post_id=FAR, published_ts=START + 500.0, quality_signal=0.25).assign(**given)


def test_live_post_with_any_id_is_counted() -> None:
    known = catalogue()
    log = EventLog.of(table([reaction(user_id=1, post_id=5, request_ts=START)]), known)
    later = known.with_posts(pd.concat([a_live_post(), a_live_post(post_id=3), a_live_post(topic=2)]))
    assert later.posts["post_id"].tolist() == [0, 1, 2, 3, 4, 5, FAR], "each post once, and the first counts"
    log = log.extended(table([reaction(user_id=1, post_id=FAR, request_ts=START + 900)]), later)
    stats = {row["post_id"]: row for row in post_stats_at(log, later, CONFIG, START + DAY_S).to_pylist()}
    assert list(stats) == [0, 1, 2, 3, 4, 5, FAR]
    assert [row["post_clicks"] for row in stats.values()] == [0, 0, 0, 0, 0, 1, 1]
    assert creator_stats_at(log, later, CONFIG, START + DAY_S).to_pylist()[0]["creator_posts"] == 3


def test_live_post_does_not_change_a_post_of_the_history() -> None:
    """The stream may carry such a post, although the service refuses it."""
    history = catalogue()
    later = history.with_posts(pd.concat([a_live_post(post_id=3, topic=TOPICS - 1), a_live_post(post_id=0)]))
    pd.testing.assert_frame_equal(later.posts, history.posts)


def test_aggregates_accept_unknown_creators_and_topics() -> None:
    known = catalogue().with_posts(a_live_post(creator_id=FAR, topic=TOPICS + 900))
    rows = [reaction(user_id=user, post_id=FAR, slate_id=user, request_ts=START + 900) for user in range(USERS)]
    log = EventLog.of(table([*rows, reaction(user_id=1, post_id=1, request_ts=START + 950)]), known)
    t = START + DAY_S
    mine = activity_at(log, CONFIG, t).to_pylist()[1]
    assert mine["counts_long"][:2] == [2, 2]
    assert sum(mine["topic_counts"][:TOPICS]) == 1, "an unknown topic is not counted by topic"
    assert sorted(mine["creators"]) == [1, FAR]
    creators = creator_stats_at(log, known, CONFIG, t)
    assert creators["creator_id"].to_pylist() == list(range(CREATORS))
    assert creators["creator_clicks"].to_pylist() == [0, 1, 0]
    assert post_stats_at(log, known, CONFIG, t).to_pylist()[-1]["post_clicks"] == USERS


def test_hottest_posts_are_ranked_by_recent_clicks_overall_and_per_region() -> None:
    log = event_log([Event(START + 9, 0, post, 1, clicked=1, dwell_s=1) for post in (4, 4, 2)])
    heat = post_heat(log, START + 10, 2.0, 6)
    assert hottest(heat, 2).shape == (1 + REGIONS, 2)
    assert hottest(heat, 2)[:2].tolist() == [[4, 2], [4, 2]], "overall, and in the region of user 0"
