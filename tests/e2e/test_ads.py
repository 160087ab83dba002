"""The ads design answers `lab ask`, `live`, `replay` and `skew`, and `lab load` finds a broken budget.

Two replicas serve, except where speed is measured: caps and budgets hold for both together.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path
from typing import Any

import pytest

from ctr_prediction.config import SMOKE
from ctr_prediction.world.truth import make_world
from lab.services.client import request
from tests.e2e.conftest import Lab, answers
from tests.support.drift_checks import observed_drift
from tests.support.waiting import until

AT_ONCE = 100
"""impressions of one report; its body stays below the limit"""


def auction(url: str, user: int, **asked: Any) -> dict[str, Any]:
    body = {"user_id": user, "slots": 1, "seed": 1, **asked}
    found: dict[str, Any] = request("POST", f"{url}/v1/ads/rank", json=body, timeout=30).json()
    return found


def shows(url: str, user: int, ad: int) -> bool:
    """True if a replica shows `ad` to `user` when no other ad competes."""
    return bool(auction(url, user, candidates=[{"ad_id": ad}])["slate"])


def publish(url: str, answer: dict[str, Any], user: int, *, times: int, is_clicked: bool = False) -> None:
    """Report `times` impressions of the first ad of `answer`, and a click on each, as a client would."""
    won = answer["slate"][0]
    click = {
        "slot": 0,
        "user_id": user,
        "ad_id": won["ad_id"],
        "price": won["price"],
        "request_ts": answer["request_ts"],
    }
    shown = click | {"publisher_id": 0, "device": 0, "policy": answer["policy"]}
    shown |= {name: won[name] for name in ("campaign_id", "seen", "bid", "p_click", "propensity")}
    auctions = [answer["auction_id"] + number for number in range(times)]
    events: dict[str, Any] = {"impressions": [shown | {"auction_id": one} for one in auctions]}
    if is_clicked:
        events["clicks"] = [click | {"auction_id": one} for one in auctions]

    def is_accepted() -> bool:
        return request("POST", f"{url}/v1/events", json=events, timeout=30).status_code == 202

    until(is_accepted, "the stream")


def test_ask_accepts_the_options_of_the_ads_design(ads: Lab) -> None:
    assert answers(ads.url)
    printed = ads.run("ask", "ctr_prediction", "--user", "7", "--slots", "3", "--device", "desktop")
    assert "ecpm" in printed
    answer = ads.run("ask", "ctr_prediction", "--user", "7", "--publisher", "2", "--json", parse=True)
    assert answer["slate"]
    assert answer["degraded"] == []
    assert "toaster" not in ads.run("ask", "ctr_prediction", "--device", "toaster", code=2).lower().split("input")[0]


def test_replay_reproduces_auctions_and_skew_finds_no_difference(ads: Lab) -> None:
    report = ads.run("live", "ctr_prediction", "--rate", "15", "--seconds", "12", "--json", parse=True)
    assert report["counts"]["failed"] == 0
    assert report["counts"]["requests"] > 100
    ads.await_settled()
    assert "all numbers are equal" in ads.run("replay", "ctr_prediction")
    assert "all are equal" in ads.run("skew", "ctr_prediction")
    found = observed_drift(Path(ads.environment["LAB_HOME"]), "ctr_prediction", after_s=3600)
    assert found.matched_share > 0.9, "labels that the drift monitor joins with their prediction"
    assert found.judged > 200
    assert 0 < found.calibration < 2, "most clicks are reported later than this test looks"


def test_frequency_cap_counts_impressions_of_both_replicas(ads: Lab) -> None:
    """A replica keeps the features of a user for a minute, so neither one answers this user before the events."""
    user, other = 31, 32
    first, second = ads.replica_urls
    ad = auction(first, other)["slate"][0]["ad_id"]
    publish(first, auction(first, other, candidates=[{"ad_id": ad}]), user, times=2)
    publish(second, auction(second, other, candidates=[{"ad_id": ad}]), user, times=3)
    ads.await_settled()
    for url in (first, second):
        until(lambda at=url: not shows(at, user, ad), f"the cap of five impressions at {url}")
        unlimited = auction(url, user, candidates=[{"ad_id": ad}], knobs={"frequency_cap": 6})
        assert unlimited["slate"], "only the cap excludes the ad"
        assert shows(url, other, ad)


def test_spent_budget_ends_a_campaign_in_both_replicas(ads: Lab) -> None:
    first, second = ads.replica_urls
    answer = auction(first, 11)
    won = answer["slate"][0]
    ad, budget = won["ad_id"], make_world(SMOKE.world).campaigns.budget[won["campaign_id"]]
    other = next(user for user in range(12, 600) if shows(second, user, ad))  # the frequency cap does not concern it
    for first_auction in range(0, ceil(budget / won["price"]), AT_ONCE):
        some = answer | {"auction_id": answer["auction_id"] + first_auction}
        publish(first, some, 11, times=AT_ONCE, is_clicked=True)
    until(lambda: not shows(first, other, ad) and not shows(second, other, ad), "the spent budget in both replicas")
    assert auction(second, 11)["slate"], "other campaigns go on"


@pytest.mark.timing
@pytest.mark.timeout(1200)
def test_load_with_the_feature_store_down_breaks_a_budget_and_exits_with_3(timed_ads: Lab, tmp_path: Path) -> None:
    words = ("load", "ctr_prediction", "--users", "30", "--out", str(tmp_path))
    with timed_ads.fault("feature_store", "down"):
        printed = timed_ads.measure(*words, "--seconds", "2", code=3)
    assert "degraded_share" in printed
    assert "BROKEN" in printed
    verdict = timed_ads.measure(*words, "--seconds", "8", "--json", parse=True)
    assert verdict["passed"]
    assert verdict["figures"]["requests"] >= 1000
