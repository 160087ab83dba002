"""Each mechanism of the world is recovered from its log with the configured size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from feed_ranking.domain import RANDOM_POLICY, REGION_UTC_OFFSET_H
from feed_ranking.world.examination import examination
from feed_ranking.world.sessions import hourly_load
from tests.support.feed_log import CONFIG, log, organic, world
from tests.support.logistic import assert_recovered, logistic, weights_of

Array = npt.NDArray[Any]


def causes() -> dict[str, Array]:
    """Return the causes of a click by row, in the units of the parameters."""
    shown, truth = organic(), world()
    user, post, now = shown["user_id"], shown["post_id"], shown["request_ts"]
    creator = truth.posts.creator[post]
    hours = (now - truth.bursts.start_ts[post]) / 3600
    height = np.where(hours >= 0, np.exp(-np.maximum(hours, 0) / CONFIG.burst_decay_h), 0.0)
    here = truth.people.region[user] == truth.creators.region[creator]
    return {
        "bias": np.ones(len(post)),
        "taste": truth.people.taste[user, truth.posts.topic[post]],
        "quality": truth.posts.quality[post],
        "bait": truth.posts.bait[post],
        "follow": truth.graph.is_following(user, creator),
        "recency": -np.log1p((now - truth.posts.published_ts[post]) / 3600 / 6),
        "fatigue": -shown["creator_before"].astype(float),
        "burst": height * here,
        "burst_elsewhere": height * ~here,
    }


@pytest.fixture(scope="module")
def click_weights() -> dict[str, tuple[float, float]]:
    return weights_of(causes(), organic()["clicked"], examination(CONFIG, organic()["position"]))


@pytest.mark.parametrize(
    ("cause", "planted"),
    [
        ("bias", CONFIG.click_bias),
        ("taste", CONFIG.taste_click),
        ("quality", CONFIG.quality_click),
        ("bait", CONFIG.bait_click),
        ("follow", CONFIG.follow_click),
        ("recency", CONFIG.recency_click),
        ("fatigue", CONFIG.fatigue_click),
        ("burst", CONFIG.burst_click),
        ("burst_elsewhere", CONFIG.burst_click * CONFIG.burst_elsewhere),
    ],
)
def test_click_weight_of_each_cause_is_recovered(
    click_weights: dict[str, tuple[float, float]], cause: str, planted: float
) -> None:
    assert_recovered(click_weights[cause], planted)


def test_position_bias_is_recovered_from_the_randomised_bucket_alone() -> None:
    bucket = organic()["policy"] == RANDOM_POLICY
    position, clicked = organic()["position"][bucket], organic()["clicked"][bucket].astype(float)
    clicks, shown = np.bincount(position, clicked), np.bincount(position)
    x = np.log1p(np.arange(len(clicks)))
    slope = np.polyfit(x, np.log(clicks / shown), 1, w=np.sqrt(clicks))[0]
    assert slope == pytest.approx(-CONFIG.examination_decay, abs=0.1)


@pytest.mark.parametrize(
    ("cause", "planted"),
    [("taste", CONFIG.taste_dwell), ("quality", CONFIG.quality_dwell), ("bait", -CONFIG.bait_dwell)],
)
def test_dwell_weights_of_taste_quality_and_bait_are_recovered(cause: str, planted: float) -> None:
    clicked = organic()["clicked"].astype(bool)
    found = causes()
    media = world().posts.media[organic()["post_id"]][clicked]
    columns = [found[name][clicked] for name in ("bias", "taste", "quality", "bait")] + [media == 1, media == 2]
    x = np.stack([column.astype(float) for column in columns], axis=1)
    y = np.log(organic()["dwell_s"][clicked])
    weights, _, _, _ = np.linalg.lstsq(x, y, rcond=None)
    left = y - x @ weights
    error = np.sqrt(np.diag(np.linalg.inv(x.T @ x))) * left.std()
    place = ("bias", "taste", "quality", "bait").index(cause)
    assert weights[place] == pytest.approx(planted, abs=4 * error[place])
    assert left.std() == pytest.approx(CONFIG.dwell_spread, rel=0.03)
    assert weights[0] == pytest.approx(np.log(CONFIG.dwell_mean_s) - CONFIG.dwell_spread**2 / 2, abs=4 * error[0])


def test_like_and_comment_weights_are_recovered() -> None:
    clicked, found = organic()["clicked"].astype(bool), causes()
    for label, names, planted in (
        ("liked", ("bias", "taste", "quality", "bait"), (CONFIG.like_bias, 0.5, 0.5, -CONFIG.bait_like)),
        ("commented", ("bias", "taste", "quality", "follow"), (CONFIG.comment_bias, 0.3, 0.3, CONFIG.follow_comment)),
    ):
        x = np.stack([found[name][clicked].astype(float) for name in names], axis=1)
        weights, errors = logistic(x, organic()[label][clicked].astype(float))
        for weight, error, value in zip(weights, errors, planted, strict=True):
            assert weight == pytest.approx(value, abs=4 * error), (label, value)


def test_leave_weights_of_satiation_and_ads_are_recovered() -> None:
    rows = log()
    is_ad = rows["post_id"] < 0
    x = np.stack([np.ones(len(is_ad)), np.log1p(rows["depth"]), is_ad], axis=1).astype(float)
    weights, errors = logistic(x, rows["left"].astype(float))
    for weight, error, planted in zip(
        weights, errors, (CONFIG.leave_bias, CONFIG.satiation_leave, CONFIG.ad_leave), strict=True
    ):
        assert abs(weight) > 4 * error
        assert weight == pytest.approx(planted, abs=4 * error)


def test_follower_counts_follow_a_power_law_and_follows_match_taste() -> None:
    truth, old = world(), CONFIG.creators_at_start
    followers = np.sort(np.bincount(truth.graph.creator, minlength=len(truth.creators))[:old])[::-1]
    rank = np.arange(1, old + 1)
    middle = slice(5, old // 2)
    slope = np.polyfit(np.log(rank[middle]), np.log(followers[middle]), 1)[0]
    assert -1.2 < slope < -0.4, "about -fame_exponent, flattened by the size of a small world"
    liked = truth.people.taste[truth.graph.user, truth.creators.topic[truth.graph.creator]]
    anyone = truth.people.taste[:, truth.creators.topic[truth.graph.creator]].mean()
    assert liked.mean() > anyone + 0.5


def test_posts_of_a_creator_correlate_and_signals_have_the_configured_quality() -> None:
    truth = world()
    for name in ("quality", "bait"):
        own, creators = getattr(truth.posts, name), getattr(truth.creators, name)
        assert np.corrcoef(own, creators[truth.posts.creator])[0, 1] == pytest.approx(CONFIG.creator_share, abs=0.05)
        signal = getattr(truth.posts, f"{name}_signal")
        assert np.corrcoef(own, signal)[0, 1] == pytest.approx(CONFIG.signal_quality, abs=0.03)


def test_new_creators_join_daily_with_few_followers_and_publish() -> None:
    truth = world()
    new = np.arange(CONFIG.creators_at_start, len(truth.creators))
    assert len(new) == CONFIG.new_creators_per_day * CONFIG.days
    followers = np.bincount(truth.graph.creator, minlength=len(truth.creators))
    assert followers[new].mean() == pytest.approx(CONFIG.new_creator_followers, rel=0.3)
    assert followers[new].mean() < followers[: CONFIG.creators_at_start].mean() / 5
    by_new = np.isin(truth.posts.creator, new)
    assert (truth.posts.published_ts[by_new] >= truth.creators.joined_ts[truth.posts.creator[by_new]]).all()
    assert by_new.sum() > 50


def test_session_starts_follow_the_hourly_load() -> None:
    first = np.unique(log()["session_id"], return_index=True)[1]
    region = world().people.region[log()["user_id"][first]]
    local = (log()["request_ts"][first] / 3600 + np.asarray(REGION_UTC_OFFSET_H)[region]) % 24
    found = np.bincount(local.astype(int), minlength=24)
    expected = hourly_load() * len(first) / 24
    chi = ((found - expected) ** 2 / expected).sum()
    assert chi < 24 + 6 * np.sqrt(48), "chi squared with 23 degrees of freedom"
