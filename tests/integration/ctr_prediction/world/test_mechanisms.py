"""Each mechanism of the ads world is recovered from its log with the configured size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ctr_prediction.config import WorldConfig
from ctr_prediction.domain import RANDOM_POLICY
from ctr_prediction.world.affinity import make_affinity
from ctr_prediction.world.clicks import age_logit, hour_logit
from ctr_prediction.world.examination import examination
from ctr_prediction.world.requests import draw_requests, hourly_load
from infra.columns import DAY_S
from infra.simulation.streams import start_ts
from tests.support.ctr_log import CONFIG, log, world
from tests.support.logistic import assert_recovered, weights_of

Array = npt.NDArray[Any]


def causes() -> dict[str, Array]:
    """Return the causes of a click by row, in the units of the parameters."""
    shown, truth = log(), world()
    user, ad, at_ts = shown["user_id"], shown["ad_id"], shown["request_ts"]
    segment = truth.people.segment[user]
    return {
        "bias": np.ones(len(ad)),
        "latent": truth.affinity.fit(segment, truth.ads.creative[ad], at_ts),
        "cross": truth.crosses[segment, ad],
        "retargeted": truth.retargeting.is_retargeted(user, ad),
        "publisher": truth.publishers.leaning[shown["publisher_id"]],
        "ad": truth.ads.leaning[ad],
        "user": truth.people.leaning[user],
        "phone": shown["device"] == 0,
        "desktop": shown["device"] == 2,
        "age": age_logit(CONFIG, truth.people.age[user]) / CONFIG.age_click,
        "hour": hour_logit(CONFIG, segment, at_ts) / CONFIG.hour_click,
        "wear_out": -np.log2(1 + shown["seen"]),
    }


@pytest.fixture(scope="module")
def click_weights() -> dict[str, tuple[float, float]]:
    return weights_of(causes(), log()["clicked"], examination(CONFIG, log()["slot"]))


@pytest.mark.parametrize(
    ("cause", "planted"),
    [
        ("bias", CONFIG.click_bias),
        ("latent", CONFIG.latent_click),
        ("cross", CONFIG.cross_click),
        ("retargeted", CONFIG.retargeted_click),
        ("publisher", 1.0),
        ("ad", 1.0),
        ("user", 1.0),
        ("phone", CONFIG.device_click[0]),
        ("desktop", CONFIG.device_click[2]),
        ("age", CONFIG.age_click),
        ("hour", CONFIG.hour_click),
        ("wear_out", CONFIG.wear_out),
    ],
)
def test_click_weight_of_each_cause_is_recovered(
    click_weights: dict[str, tuple[float, float]], cause: str, planted: float
) -> None:
    assert_recovered(click_weights[cause], planted)


def test_position_bias_is_recovered_from_the_randomised_bucket_alone() -> None:
    bucket = (log()["policy"] == RANDOM_POLICY) & (log()["slots"] == max(CONFIG.slots))
    slot, clicked = log()["slot"][bucket], log()["clicked"][bucket].astype(float)
    clicks, shown = np.bincount(slot, clicked), np.bincount(slot)
    slope = np.polyfit(np.log1p(np.arange(len(clicks))), np.log(clicks / shown), 1, w=np.sqrt(clicks))[0]
    assert slope == pytest.approx(-CONFIG.examination_decay, abs=0.1)


def test_slot_and_relevance_are_confounded_outside_the_randomised_bucket() -> None:
    """The randomised bucket exists for this reason."""
    auctioned = (log()["policy"] != RANDOM_POLICY) & (log()["slots"] == max(CONFIG.slots))
    rate = world().ads.leaning[log()["ad_id"][auctioned]]
    slot = log()["slot"][auctioned]
    means = [rate[slot == place].mean() for place in range(max(CONFIG.slots))]
    assert means[0] > means[-1]


def test_affinity_drifts_by_the_configured_angle() -> None:
    """Affinities of two days correlate by the cosine of the drift angle between the days."""
    affinity = make_affinity(WorldConfig(drift_deg_per_day=3.0))
    segments, creatives = np.arange(64)[:, None], np.arange(600)[None, :]
    begin = start_ts(WorldConfig())
    first, later = (affinity.fit(segments, creatives, np.float64(begin + day * DAY_S)) for day in (0, 20))
    assert first.std() == pytest.approx(1.0, abs=0.05)
    assert np.corrcoef(first.ravel(), later.ravel())[0, 1] == pytest.approx(np.cos(np.deg2rad(60)), abs=0.03)


def test_click_report_delays_match_the_configured_share_and_mean() -> None:
    delay_s = (log()["label_ts"] - log()["request_ts"])[log()["clicked"].astype(bool)]
    border_s = 10 * CONFIG.fast_delay_s
    late = delay_s > border_s
    expected = CONFIG.slow_share * np.exp(-border_s / CONFIG.slow_delay_s)
    assert late.mean() == pytest.approx(expected, abs=4 * np.sqrt(expected / len(delay_s)))
    over = delay_s[late] - border_s  # an exponential has no memory
    assert over.mean() == pytest.approx(CONFIG.slow_delay_s, rel=4 / np.sqrt(late.sum()))
    assert np.isnan(log()["label_ts"][~log()["clicked"].astype(bool)]).all()


def test_requests_follow_the_hourly_load() -> None:
    at_ts = np.concatenate([draw_requests(world(), day).at_ts for day in range(CONFIG.days)])
    hour = (at_ts % DAY_S // 3600).astype(int)
    share = np.bincount(hour, minlength=24) / len(hour) * 24
    np.testing.assert_allclose(share, hourly_load(), atol=0.06)


def test_new_ads_start_cold_on_their_day() -> None:
    shown = log()
    started = world().ads.start_ts[shown["ad_id"]]
    assert (started <= shown["request_ts"]).all()
    new = np.unique(shown["ad_id"][started > start_ts(CONFIG)])
    assert len(new) > 0.8 * CONFIG.new_ads_per_day * (CONFIG.days - 1)


def test_campaign_is_not_shown_after_its_budget_is_spent() -> None:
    shown, campaigns = log(), world().campaigns
    paid = shown["clicked"] * shown["price"]
    day, hour = ((shown["request_ts"] - start_ts(CONFIG)) // span for span in (DAY_S, 3600.0))
    stopped = 0
    for one in np.unique(day).astype(int):
        for campaign in range(CONFIG.campaigns):
            mine = (day == one) & (shown["campaign_id"] == campaign)
            spent = np.cumsum(paid[mine])
            over = spent >= campaigns.budget[campaign] * (1 + 1e-5)
            if over.any():
                stopped += 1
                assert hour[mine].max() <= hour[mine][over.argmax()], "shown in a later hour"
    assert stopped > 10
