"""The ads design answers `lab ask`, `live`, `replay` and `skew`, and `lab load` finds a broken budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Lab, answers


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


@pytest.mark.timing
@pytest.mark.timeout(1200)
def test_load_with_the_feature_store_down_breaks_a_budget_and_exits_with_3(timed_ads: Lab, tmp_path: Path) -> None:
    words = ("load", "ctr_prediction", "--users", "15", "--out", str(tmp_path))
    with timed_ads.fault("feature_store", "down"):
        printed = timed_ads.measure(*words, "--seconds", "2", code=3)
    assert "degraded_share" in printed
    assert "BROKEN" in printed
    verdict = timed_ads.measure(*words, "--seconds", "16", "--json", parse=True)
    assert verdict["passed"]
    assert verdict["figures"]["requests"] >= 1000
