"""The second design as a user meets it: up, asked, lived in, checked, and with its store down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import ENVIRONMENT
from tests.e2e.conftest import Lab, answers, run_lab
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
    until(lambda: "all numbers are equal" in ads.run("replay", "ctr_prediction"), "auctions in the log")
    assert "all are equal" in ads.run("skew", "ctr_prediction")


def test_evaluate_prints_rows_with_the_agreed_keys(ads: Lab) -> None:
    done = run_lab("evaluate", "ctr_prediction", "--json", environment=ENVIRONMENT)
    rows = {row["id"]: row for row in json.loads(done.stdout)}
    assert done.returncode == (0 if all(row["met"] is not False for row in rows.values()) else 3)
    by_the_gate, on_the_holdout, by_the_oracle = "log_loss_gap_closed", "knowable_gap_closed", "captured_value_student"
    assert {by_the_gate, on_the_holdout, by_the_oracle} <= rows.keys()
    for row in rows.values():
        assert list(row) == ["id", "description", "value", "low", "high", "unit", "must", "aim", "met"]
        assert row["low"] <= row["value"] <= row["high"], row


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
