"""Feature tables: a row stamped t holds what was known before t, and counts it right."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed_ranking.config import SMOKE, FeedConfig
from feed_ranking.offline.tables import (
    DAY_S,
    Catalogue,
    EventLog,
    SnapshotTimes,
    creator_stats,
    post_stats,
    user_activity,
)

CONFIG: FeedConfig = SMOKE
TIMES = SnapshotTimes.of(CONFIG)
USERS, CREATORS, POSTS, EVENTS = 12, 5, 30, 400
Maker = Callable[[EventLog, Catalogue, FeedConfig, SnapshotTimes], pa.Table]
MAKERS: dict[str, Maker] = {"user": user_activity, "post": post_stats, "creator": creator_stats}


@cache
def catalogue() -> Catalogue:
    rng = np.random.default_rng(1)
    start = float(TIMES.daily[0])
    people = pd.DataFrame({"user_id": range(USERS), "region": rng.integers(0, 4, USERS)})
    creators = pd.DataFrame(
        {"creator_id": range(CREATORS), "topic": range(CREATORS), "region": 0, "joined_ts": start - 30 * DAY_S}
    )
    posts = pd.DataFrame(
        {
            "post_id": range(POSTS),
            "creator_id": np.arange(POSTS) % CREATORS,
            "topic": np.arange(POSTS) % CREATORS,
            "quality_signal": rng.normal(size=POSTS),
            "bait_signal": rng.normal(size=POSTS),
            "published_ts": np.sort(start + rng.random(POSTS) * 4 * DAY_S),
        }
    )
    follows = pd.DataFrame({"user_id": [0], "creator_id": [1], "since_ts": [start - DAY_S]})
    return Catalogue(people, creators, posts, follows)


def some_log(seed: int = 0) -> EventLog:
    rng = np.random.default_rng(seed)
    post, user = rng.integers(0, POSTS, EVENTS), rng.integers(0, USERS, EVENTS)
    published = catalogue().posts["published_ts"].to_numpy()[post]
    clicked = rng.random(EVENTS) < 0.4
    counts = np.stack(
        [np.ones(EVENTS), clicked, clicked & (post % 2 == 0), clicked & (post % 7 == 0), clicked * 9.0], 1
    )
    return ordered(
        known_s=published + rng.random(EVENTS) * 2 * DAY_S,
        user=user,
        post=post,
        session=user * 100 + rng.integers(0, 9, EVENTS),  # a session is one user's
        counts=counts.astype(np.float32),
    )


def ordered(
    known_s: np.ndarray, user: np.ndarray, post: np.ndarray, session: np.ndarray, counts: np.ndarray
) -> EventLog:
    order = np.argsort(known_s, kind="stable")
    user, post = user[order].astype(np.int64), post[order].astype(np.int64)
    known = catalogue()
    return EventLog(
        known_s[order],
        user,
        post,
        known.posts["creator_id"].to_numpy()[post],
        known.posts["topic"].to_numpy()[post],
        known.people["region"].to_numpy()[user],
        session[order].astype(np.int64),
        counts[order],
    )


def with_event(log: EventLog, known_s: float, user: int, post: int) -> EventLog:
    """The same log and one more click, of which the system learns at `known_s`."""
    return ordered(
        np.append(log.known_s, known_s),
        np.append(log.user, user),
        np.append(log.post, post),
        np.append(log.session, 10**6),
        np.concatenate([log.counts, [[1, 1, 1, 1, 30]]]).astype(np.float32),
    )


def until(table: pa.Table, t: float) -> pd.DataFrame:
    frame = table.to_pandas()
    known = frame[frame["feature_ts"].astype("datetime64[us, UTC]").astype("int64") <= t * 1e6].copy()
    for name in known.columns:  # lists compare element by element
        if known[name].dtype == object:
            known[name] = [tuple(value) for value in known[name]]
    return known.reset_index(drop=True)


@pytest.mark.parametrize("view", MAKERS)
@given(
    known_at=st.floats(0, 1, exclude_max=True),
    day=st.integers(1, CONFIG.world.days),
    user=st.integers(0, USERS - 1),
    post=st.integers(0, POSTS - 1),
)
def test_an_event_of_the_future_moves_no_feature(view: str, known_at: float, day: int, user: int, post: int) -> None:
    t, make, log = float(TIMES.daily[day]), MAKERS[view], some_log()
    planted = with_event(log, t + known_at * DAY_S, user, post)
    before = until(make(log, catalogue(), CONFIG, TIMES), t)
    pd.testing.assert_frame_equal(before, until(make(planted, catalogue(), CONFIG, TIMES), t))


@pytest.mark.parametrize("view", MAKERS)
def test_the_same_event_does_move_features_once_it_is_known(view: str) -> None:
    t, make, log = float(TIMES.daily[4]), MAKERS[view], some_log()
    planted = with_event(log, t - 1.0, 3, int(np.flatnonzero(catalogue().posts["published_ts"] < t - DAY_S)[-1]))
    before, after = (until(make(events, catalogue(), CONFIG, TIMES), t) for events in (log, planted))
    assert not before.equals(after)


def test_creators_and_users_are_counted_as_by_hand() -> None:
    log, t = some_log(2), float(TIMES.daily[4])
    creators = until(creator_stats(log, catalogue(), CONFIG, TIMES), t)
    creators = creators[creators["feature_ts"] == creators["feature_ts"].max()].set_index("creator_id")
    users = until(user_activity(log, catalogue(), CONFIG, TIMES), t)
    users = users[users["feature_ts"] == users["feature_ts"].max()].set_index("user_id")
    recent_s = CONFIG.features.recent_days * DAY_S
    for creator in range(CREATORS):
        mine = [n for n in range(EVENTS) if log.creator[n] == creator and log.known_s[n] < t]
        assert creators.loc[creator, "creator_clicks"] == sum(log.counts[n, 1] for n in mine)
        assert creators.loc[creator, "creator_impressions_recent"] == sum(log.known_s[n] >= t - recent_s for n in mine)
    for user in range(USERS):
        mine = [n for n in range(EVENTS) if log.user[n] == user and log.known_s[n] < t]
        assert users.loc[user, "counts_long"][0] == len(mine)
        assert users.loc[user, "counts_long"][5] == len({int(log.session[n]) for n in mine})
        per_topic = np.reshape(users.loc[user, "topic_counts"], (4, CONFIG.world.topics))
        assert per_topic[1, 2] == sum(log.counts[n, 1] for n in mine if log.topic[n] == 2)


def test_posts_are_counted_as_by_hand_while_they_live() -> None:
    log, t = some_log(3), float(TIMES.daily[4])
    posts = until(post_stats(log, catalogue(), CONFIG, TIMES), t)
    posts = posts[posts["feature_ts"] == posts["feature_ts"].max()].set_index("post_id")
    assert len(posts)
    for post in posts.index:
        mine = [n for n in range(EVENTS) if log.post[n] == post and log.known_s[n] < t]
        assert posts.loc[post, "post_clicks"] == sum(log.counts[n, 1] for n in mine)
        assert posts.loc[post, "post_dwell_s"] == sum(log.counts[n, 4] for n in mine)
