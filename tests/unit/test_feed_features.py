"""The transforms give one user and many users the same numbers, and windows hold nothing from the future."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed_ranking.config import SMOKE, FeedConfig
from feed_ranking.domain import PostFeatures, UserFeatures
from feed_ranking.features import RANKER_INPUTS, default_user, ranker_inputs, user_from_row, user_tower_inputs
from feed_ranking.offline.dataset import SnapshotTimes, post_stats, user_activity
from infra.feature_store.port import FeatureRow

TOPICS = 16
META = {"topics": TOPICS, "mean_ctr": 0.05}
TIMES = SnapshotTimes.of(SMOKE)


def some_users(rng: np.random.Generator, count: int) -> UserFeatures:
    return UserFeatures(
        impressions_7d=rng.integers(0, 500, count).astype(np.float32),
        ctr_7d=rng.random(count).astype(np.float32),
        topic_affinity=rng.random((count, TOPICS)).astype(np.float32),
        follow_topics=rng.random((count, TOPICS)).astype(np.float32),
        follows=rng.integers(-1, 30, (count, 8)),
    )


def some_posts(rng: np.random.Generator, count: int) -> PostFeatures:
    numbers = rng.random((4, count)).astype(np.float32)
    return PostFeatures(rng.integers(0, 30, count), rng.integers(0, TOPICS, count), rng.random(count) * 1e5, *numbers)


@given(seed=st.integers(0, 10_000))
@settings(deadline=None)
def test_serving_one_user_computes_what_training_computed_for_many(seed: int) -> None:
    rng = np.random.default_rng(seed)
    users, posts, score = some_users(rng, 6), some_posts(rng, 6), rng.random(6).astype(np.float32)
    together = ranker_inputs(users, posts, score, 2e5)
    for row in range(6):
        one = np.array([row])
        alone = ranker_inputs(users.take(one), posts.take(one), score[one], 2e5)
        np.testing.assert_array_equal(alone[0], together[row])
        np.testing.assert_array_equal(user_tower_inputs(users.take(one))[0], user_tower_inputs(users)[row])


def test_every_ranker_input_has_a_column_and_depends_on_what_it_names() -> None:
    rng = np.random.default_rng(0)
    users, posts, score = some_users(rng, 1), some_posts(rng, 50), rng.random(50).astype(np.float32)
    x = ranker_inputs(users, posts, score, 2e5)
    assert x.shape == (50, len(RANKER_INPUTS))
    follows = x[:, RANKER_INPUTS.index("user_follows_creator")]
    np.testing.assert_array_equal(follows == 1, np.isin(posts.creator_id, users.follows[0][users.follows[0] >= 0]))
    np.testing.assert_array_equal(x[:, RANKER_INPUTS.index("tower_score")], score)


def test_a_post_from_a_moment_ahead_has_no_negative_age() -> None:
    rng = np.random.default_rng(0)
    x = ranker_inputs(some_users(rng, 1), some_posts(rng, 3), np.zeros(3, np.float32), 0.0)
    assert np.isfinite(x).all()


def test_what_a_row_lacks_is_taken_from_the_declared_defaults() -> None:
    default = default_user(META)
    row = FeatureRow({"ctr_7d": 0.5, "follows": np.array([4, 9])}, datetime(2026, 1, 5, tzinfo=UTC))
    user = user_from_row(row, default)
    assert user.ctr_7d.tolist() == [0.5]
    assert user.follows.tolist() == [[4, 9]]
    np.testing.assert_array_equal(user.topic_affinity, default.topic_affinity)


def test_an_unknown_user_is_the_default_user() -> None:
    default = default_user(META)
    for name, value in vars(user_from_row(FeatureRow({}, None), default)).items():
        np.testing.assert_array_equal(value, getattr(default, name))


def small_log(config: FeedConfig, rows: int = 400) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(5)
    seconds = np.sort(rng.uniform(TIMES.first, TIMES.last, rows))
    log = pd.DataFrame(
        {
            "user_id": rng.integers(0, 20, rows),
            "post_id": rng.integers(0, 50, rows),
            "event_ts": pd.to_datetime(seconds, unit="s", utc=True),
            "clicked": rng.random(rows) < 0.3,
        }
    )
    posts = pd.DataFrame({"topic": rng.integers(0, TOPICS, 50), "published_ts": np.full(50, TIMES.first - 10)})
    return log, posts


@pytest.mark.parametrize("view", ["user_activity", "post_stats"])
@given(share=st.floats(0.0, 0.999), user=st.integers(0, 19), post=st.integers(0, 49))
@settings(deadline=None, max_examples=25)
def test_an_event_moves_no_feature_of_an_earlier_or_equal_time(view: str, share: float, user: int, post: int) -> None:
    compute = {"user_activity": user_activity, "post_stats": post_stats}[view]
    log, posts = small_log(SMOKE)
    at = TIMES.first + share * (TIMES.last - TIMES.first)
    planted = pd.DataFrame(
        {
            "user_id": [user],
            "post_id": [post],
            "event_ts": pd.to_datetime([at], unit="s", utc=True),
            "clicked": [True],
        }
    )
    more = pd.concat([log, planted]).sort_values("event_ts", kind="stable").reset_index(drop=True)
    before = compute(log, posts, TIMES, SMOKE, 0.05).to_pandas()
    after = compute(more, posts, TIMES, SMOKE, 0.05).to_pandas()
    feature_s = before["feature_ts"].to_numpy("datetime64[us]").astype(np.int64) / 1e6
    unmoved = feature_s <= at
    pd.testing.assert_frame_equal(before[unmoved], after[unmoved])
    key, entity = ("user_id", user) if view == "user_activity" else ("post_id", post)
    later = ~unmoved & (before[key] == entity)  # a post that is dead by then has no later rows
    assert not later.any() or not before[later].equals(after[later]), "the event must count after its time"


def test_an_event_at_the_very_time_of_a_snapshot_is_not_in_it() -> None:
    log, posts = small_log(SMOKE, rows=1)
    log["event_ts"] = pd.to_datetime([TIMES.daily[2]], unit="s", utc=True)
    rows = user_activity(log, posts, TIMES, SMOKE, 0.05).to_pandas()
    shown = rows[rows["user_id"] == log["user_id"][0]].set_index("feature_ts")["impressions_7d"]
    assert shown.tolist()[:3] == [0, 0, 0]
    assert shown.tolist()[3] == 1
