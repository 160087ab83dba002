"""The planted mistakes of the feature join change what they claim, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from feed_ranking.offline.planted_joins import CountsUntilShown, planted_change, time_left
from infra.columns import timestamps
from infra.feature_store.changed_join import ChangedJoin

T = 1_768_000_000.0


def log(post: list[int], clicked: list[bool], shown_s: list[float]) -> pa.Table:
    at = timestamps(T + np.array(shown_s, np.float64))
    return pa.table({"post_id": pa.array(post, pa.int64()), "clicked": pa.array(clicked, pa.bool_()), "request_ts": at})


def rows(post: list[int], at_s: list[float], **columns: Any) -> pd.DataFrame:
    at = pd.to_datetime(T + np.array(at_s), unit="s", utc=True)
    return pd.DataFrame({"post_id": np.array(post, np.int64), "event_ts": at, **columns})


def test_leak_counts_the_rows_own_event_and_no_later_one() -> None:
    leak = CountsUntilShown.of(log([5, 5, 9, 5], [True, False, True, True], [10, 20, 20, 30]))
    found = leak(rows([5, 5, 5, 5, 9, 7], [9.999999, 10, 20, 31, 20, 20], post_clicks=0.0, post_dwell_s=4.0))
    assert found["post_impressions"].tolist() == [0, 1, 2, 3, 1, 0]
    assert found["post_clicks"].tolist() == [0, 1, 1, 2, 1, 0]
    assert found["post_dwell_s"].tolist() == [4.0] * 6


@pytest.mark.parametrize("seed", range(5))
def test_leak_equals_a_count_by_hand(seed: int) -> None:
    rng = np.random.default_rng(seed)
    post, shown = rng.integers(-3, 4, 60) * 10**12, rng.integers(0, 20, 60)
    clicked = rng.random(60) < 0.4
    leak = CountsUntilShown.of(log(post.tolist(), clicked.tolist(), shown.tolist()))
    asked, at = rng.integers(-4, 5, 40) * 10**12, rng.integers(-3, 24, 40)
    found = leak(rows(asked.tolist(), at.tolist()))
    is_counted = (post == asked[:, None]) & (shown <= at[:, None])
    assert found["post_impressions"].tolist() == is_counted.sum(axis=1).tolist()
    assert found["post_clicks"].tolist() == (is_counted & clicked).sum(axis=1).tolist()


def test_empty_log_has_no_counts() -> None:
    found = CountsUntilShown.of(log([], [], []))(rows([1], [0]))
    assert found[["post_impressions", "post_clicks"]].to_numpy().tolist() == [[0, 0]]


class Store:
    """A store whose join adds a constant."""

    def join(self, frame: pd.DataFrame, features: list[str]) -> pd.DataFrame:
        return frame.assign(**dict.fromkeys(features, 120.0))


def test_skew_changes_the_units_of_dwell_only_and_leaves_joins_with_users() -> None:
    change = planted_change("skew", lambda: pytest.fail("the skew reads no log"))
    assert change is not None
    store = ChangedJoin(Store(), "post_id", change)  # type: ignore[arg-type]
    found = store.join(rows([1], [0]), ["post_dwell_s", "creator_dwell_s", "creator_clicks"])
    assert found.iloc[0, 2:].tolist() == [2.0, 2.0, 120.0]
    users = store.join(pd.DataFrame({"user_id": [1]}), ["counts_long"])
    assert users.to_dict("list") == {"user_id": [1], "counts_long": [120.0]}


def test_no_cause_and_causes_of_other_parts_change_no_join() -> None:
    for cause in ("", "shortcut", "feedback"):
        assert planted_change(cause, lambda: pytest.fail("no cause reads the log")) is None


def test_wrong_label_of_the_dwell_is_smaller_the_longer_somebody_read_and_leaves_clicks_alone() -> None:
    dwell_s = np.array([0.0, 3.0, 10.0, 0.0, 100.0], np.float32)
    wrong = time_left(dwell_s)
    assert wrong.dtype == np.float32
    assert wrong[[0, 3]].tolist() == [0.0, 0.0], "no click, no dwell"
    assert np.all(np.diff(wrong[[1, 2, 4]]) < 0)
    assert np.all(wrong >= 0)
    assert time_left(np.zeros(3, np.float32)).tolist() == [0.0, 0.0, 0.0]
