"""A judge of a shifted world values the same answers by the new truth, and its original does not change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ctr_prediction.config import SMOKE as ADS
from ctr_prediction.evaluation.judge import Judge as AdsJudge
from ctr_prediction.world.shift import shifted_segments
from eta_prediction.config import SMOKE as RIDES
from eta_prediction.evaluation.judge import Judge as RidesJudge
from feed_ranking.config import SMOKE as FEED
from feed_ranking.evaluation.judge import Judge as FeedJudge
from infra.columns import DAY_S


def best_slates(judge: FeedJudge, users: Any) -> list[dict[str, Any]]:
    pool = judge.alive()
    return [{"slate": [{"post_id": int(post)} for post in judge.best(int(user), pool)]} for user in users]


def test_best_slates_of_the_old_tastes_capture_less_after_the_shift() -> None:
    judge = FeedJudge(FEED)
    there, users = judge.in_shifted_world(1.0), judge.cases(40)
    old, new = best_slates(judge, users), best_slates(there, users)
    assert judge.captured_by(users, old).value == pytest.approx(1.0)
    assert there.captured_by(users, new).value == pytest.approx(1.0)
    assert there.captured_by(users, old).value < 0.9
    assert judge.in_shifted_world(0.0).captured_by(users, old).value == pytest.approx(1.0)


def test_ads_are_worth_more_to_users_of_the_shifted_segments_only() -> None:
    judge = AdsJudge(ADS)
    pages = judge.cases(200)
    there = judge.in_shifted_world(0.7)
    answers = [{"slate": [{"ad_id": int(judge.pool(page)[0]), "seen": 0}]} for page in pages]
    before, after = (one.captured_by(pages, answers).below for one in (judge, there))
    segments = judge.world.people.segment[[page.user_id for page in pages]]
    is_shifted = np.isin(segments, shifted_segments(ADS.world))
    assert 0 < is_shifted.sum() < len(pages)
    assert np.all(after[is_shifted] > 1.2 * before[is_shifted])
    np.testing.assert_allclose(after[~is_shifted], before[~is_shifted])


def test_rides_over_the_bridge_take_longer_during_its_works() -> None:
    judge = RidesJudge(RIDES)
    there, rides = judge.in_shifted_world(2.0), judge.cases(150)
    at_ts = rides[0].reported.from_ts + 2 * DAY_S + 3_600
    none = np.zeros(0, np.int64)
    before, after = (
        np.array([np.median(one.later.driven(ride, at_ts, none).law) for ride in rides]) for one in (judge, there)
    )
    is_longer = after > before + 1.0
    assert 0 < is_longer.mean() < 0.5
    np.testing.assert_allclose(after[~is_longer], before[~is_longer], atol=1.0)
