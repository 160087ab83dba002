"""The second design as a user meets it: up, asked, lived in, checked, and with its store down."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Lab, answers
from tests.support.waiting import until


def test_it_is_asked_by_its_own_words(ads: Lab) -> None:
    assert answers(ads.url)
    said = ads.run("ask", "ctr_prediction", "--user", "7", "--slots", "3", "--device", "desktop")
    assert "ecpm" in said
    answer = ads.run("ask", "ctr_prediction", "--user", "7", "--publisher", "2", "--json", parse=True)
    assert answer["slate"]
    assert answer["degraded"] == []
    assert "toaster" not in ads.run("ask", "ctr_prediction", "--device", "toaster", code=2).lower().split("input")[0]


def test_people_come_and_every_auction_can_be_held_again_with_features_that_were_right(ads: Lab) -> None:
    lived = ads.run("live", "ctr_prediction", "--rate", "15", "--seconds", "12", "--json", parse=True)
    assert lived["counts"]["failed"] == 0 if "counts" in lived else lived
    until(lambda: "every number is the same" in ads.run("replay", "ctr_prediction"), "auctions in the log")
    assert "all are the same" in ads.run("skew", "ctr_prediction")


@pytest.mark.timing
@pytest.mark.timeout(1200)
def test_a_store_that_is_down_breaks_a_budget_under_load_and_the_exit_code_says_so(ads: Lab, tmp_path: Path) -> None:
    words = ("load", "ctr_prediction", "--users", "15", "--out", str(tmp_path))
    with ads.fault("feature_store", "down"):
        said = ads.measure(*words, "--seconds", "6", code=3)
    assert "degraded_share" in said
    assert "BROKEN" in said
    verdict = ads.measure(*words, "--seconds", "16", "--json", parse=True)
    assert verdict["passed"]
    assert verdict["figures"]["requests"] >= 1000
