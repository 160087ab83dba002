"""The logging policy shows valid posts with the configured shares, and its log is consistent."""

from __future__ import annotations

import numpy as np
import pytest

from feed_ranking.domain import RANDOM_POLICY
from tests.support.feed_log import CONFIG, log, organic, world


def test_shown_posts_are_published_unexpired_and_unique_in_their_session() -> None:
    rows = organic()
    age_s = rows["request_ts"] - world().posts.published_ts[rows["post_id"]]
    assert (age_s >= 0).all()
    assert (age_s <= CONFIG.post_life_h * 3600).all()
    pairs = rows["session_id"].astype(np.int64) * 100_000 + rows["post_id"]
    assert len(np.unique(pairs)) == len(pairs)
    assert len(np.unique(log()["event_id"])) == len(log()["event_id"])
    np.testing.assert_array_equal(rows["creator_id"], world().posts.creator[rows["post_id"]])


def test_randomised_bucket_has_its_share_and_uniform_propensities() -> None:
    rows = organic()
    _, first = np.unique(rows["slate_id"], return_index=True)
    share = (rows["policy"][first] == RANDOM_POLICY).mean()
    assert share == pytest.approx(CONFIG.randomised_share, abs=4 * np.sqrt(0.21 / len(first)))
    on_top = rows["propensity"][(rows["policy"] == RANDOM_POLICY) & (rows["position"] == 0)]
    assert (on_top > 1 / CONFIG.pool_size - 1e-9).all()
    assert on_top.std() < 0.005


def test_ads_appear_only_at_ad_positions_with_the_configured_fill() -> None:
    rows = log()
    is_ad = rows["ad_id"] >= 0
    np.testing.assert_array_equal(is_ad, rows["post_id"] == -1)
    assert set(rows["position"][is_ad].tolist()) == set(CONFIG.ad_positions)
    at = np.isin(rows["position"], CONFIG.ad_positions)
    assert is_ad[at].mean() == pytest.approx(CONFIG.ad_fill, abs=4 * np.sqrt(0.21 / at.sum()))
    assert not rows["clicked"][is_ad].any()


def test_sessions_are_logged_without_gaps_until_the_user_leaves() -> None:
    rows = log()
    order = np.lexsort((rows["depth"], rows["session_id"]))
    session, depth, left = (rows[name][order] for name in ("session_id", "depth", "left"))
    creator, before = rows["creator_id"][order], rows["creator_before"][order]
    starts = np.flatnonzero(np.r_[True, session[1:] != session[:-1]])
    for begin, end in list(zip(starts, np.r_[starts[1:], len(session)], strict=True))[:400]:
        assert depth[begin:end].tolist() == list(range(end - begin))
        assert not left[begin : end - 1].any()
        assert left[end - 1] or end - begin == CONFIG.max_slates * CONFIG.slate_size
        for place in range(begin, end):
            if creator[place] >= 0:
                assert before[place] == (creator[begin:place] == creator[place]).sum()


def test_dwell_likes_and_comments_require_a_click() -> None:
    rows = log()
    idle = ~rows["clicked"].astype(bool)
    assert not rows["liked"][idle].any()
    assert not rows["commented"][idle].any()
    assert (rows["dwell_s"][idle] == 0).all()
    assert (rows["dwell_s"][~idle] > 0).all()
    assert (rows["label_ts"] > rows["event_ts"]).all()
