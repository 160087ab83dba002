"""A log that is small enough to count by hand, and the feature tables computed from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

from feed_ranking.config import FeatureConfig, FeedConfig, WorldConfig
from feed_ranking.events.history import EventLog, PublicCatalogue
from feed_ranking.offline.feature_tables import (
    SnapshotTimes,
    creator_stats,
    post_stats,
    user_activity,
    user_profile,
)
from infra.columns import DAY_S, HOUR_S
from tests.support.live_log import reaction, table

USERS, CREATORS, POSTS, TOPICS, SLOTS = 4, 3, 6, 3, 2
CONFIG = FeedConfig(
    world=WorldConfig(users=USERS, topics=TOPICS, days=3, post_life_h=40.0),
    features=FeatureConfig(window_days=2, recent_days=1, creator_slots=SLOTS, post_snapshot_h=12, heat_half_life_h=2.0),
)
TIMES = SnapshotTimes.of(CONFIG)
START, END = TIMES.last - 3 * DAY_S, TIMES.last
CREATOR = np.array([0, 1, 2, 0, 1, 2])
"""Creator of each post."""
TOPIC = np.array([0, 1, 2, 1, 0, 2])
REGION = np.array([0, 1, 1, 3])
"""Region of each user."""


def catalogue(follows: Sequence[tuple[int, int, float]] = ()) -> PublicCatalogue:
    """Return a catalogue of posts that are published in the first minutes. `follows` are (user, creator, since_ts)."""
    users, creators, posts = np.arange(USERS), np.arange(CREATORS), np.arange(POSTS)
    return PublicCatalogue(
        people=pd.DataFrame({"user_id": users, "region": REGION, "declared_0": users % TOPICS, "declared_1": 2}),
        creators=pd.DataFrame(
            {"creator_id": creators, "topic": creators, "region": creators, "joined_ts": START - 30 * DAY_S}
        ),
        posts=pd.DataFrame(
            {
                "post_id": posts,
                "creator_id": CREATOR,
                "topic": TOPIC,
                "media": posts % 3,
                "quality_signal": posts / 4,
                "bait_signal": -posts / 2,
                "published_ts": START + 60.0 * posts,
            }
        ),
        follows=pd.DataFrame(
            {
                "user_id": np.array([user for user, _, _ in follows], np.int64),
                "creator_id": np.array([creator for _, creator, _ in follows], np.int64),
                "since_ts": np.array([since for _, _, since in follows], np.float64),
            }
        ),
    )


@dataclass(frozen=True)
class Event:
    """One impression and the user's reaction. `known_s` is the time at which its label arrived."""

    known_s: float
    user: int
    post: int
    session: int
    clicked: int = 0
    liked: int = 0
    commented: int = 0
    dwell_s: int = 0

    @property
    def creator(self) -> int:
        return int(CREATOR[self.post])

    @property
    def topic(self) -> int:
        return int(TOPIC[self.post])

    @property
    def counts(self) -> tuple[int, ...]:
        """The increments of the counts in `REACTIONS`."""
        return (1, *astuple(self)[4:])


def event_log(events: Sequence[Event]) -> EventLog:
    events = sorted(events, key=lambda event: event.known_s)

    def column(name: str) -> np.ndarray:
        return np.array([getattr(event, name) for event in events], np.int64)

    return EventLog(
        known_s=np.array([event.known_s for event in events], np.float64),
        user=column("user").astype(np.int32),
        post=column("post").astype(np.int32),
        session=column("session"),
        counts=np.array([event.counts for event in events], np.float32).reshape(len(events), 5),
        catalogue=catalogue(),
    )


def as_table(log: Sequence[Event]) -> pa.Table:
    """Return the events as rows of the live log."""
    rows: list[dict[str, Any]] = [
        reaction(
            request_ts=event.known_s - 60,
            user_id=event.user,
            post_id=event.post,
            session_id=event.session,
            clicked=bool(event.clicked),
            liked=bool(event.liked),
            commented=bool(event.commented),
            dwell_s=float(event.dwell_s),
        )
        for event in log
    ]
    return table(rows)


def tables(events: Sequence[Event], follows: Sequence[tuple[int, int, float]] = ()) -> dict[str, pa.Table]:
    """View name -> table, for every view that changes over time."""
    log, known = event_log(events), catalogue(follows)
    return {
        "user_profile": pa.concat_tables(user_profile(known, CONFIG, TIMES)),
        "user_activity": pa.concat_tables(user_activity(log, CONFIG, TIMES)),
        "post_stats": pa.concat_tables(post_stats(log, known, CONFIG, TIMES)),
        "creator_stats": pa.concat_tables(creator_stats(log, known, CONFIG, TIMES)),
    }


@st.composite
def events(draw: st.DrawFn, at: st.SearchStrategy[float] | None = None) -> Event:
    """Draw any reaction to any post. Its label arrives at a whole second of the history, often at a snapshot time."""
    anytime = st.one_of(st.integers(0, 3 * int(DAY_S)), st.integers(0, 6).map(lambda half: half * int(12 * HOUR_S)))
    known_s = draw(at if at is not None else anytime.map(lambda second: START + second))
    user, clicked = draw(st.integers(0, USERS - 1)), draw(st.integers(0, 1))
    return Event(
        known_s=known_s,
        user=user,
        post=draw(st.integers(0, POSTS - 1)),
        session=user * 10 + draw(st.integers(0, 2)),
        clicked=clicked,
        liked=clicked * draw(st.integers(0, 1)),
        commented=clicked * draw(st.integers(0, 1)),
        dwell_s=clicked * draw(st.integers(1, 100)),
    )
