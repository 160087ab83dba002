"""The ads design answers `lab ask`, `live`, `replay`, `skew` and `evaluate`, and `lab load` finds a broken budget."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import ENVIRONMENT
from tests.e2e.conftest import Lab, answers, run_lab
from tests.support.waiting import until


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
    assert report["counts"]["failed"] == 0 if "counts" in report else report
    until(lambda: "every number is the same" in ads.run("replay", "ctr_prediction"), "auctions in the log")
    assert "all are the same" in ads.run("skew", "ctr_prediction")


def test_evaluate_prints_rows_with_the_documented_keys(ads: Lab) -> None:
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
def test_load_with_the_feature_store_down_breaks_a_budget_and_exits_with_3(ads: Lab, tmp_path: Path) -> None:
    words = ("load", "ctr_prediction", "--users", "15", "--out", str(tmp_path))
    with ads.fault("feature_store", "down"):
        printed = ads.measure(*words, "--seconds", "6", code=3)
    assert "degraded_share" in printed
    assert "BROKEN" in printed
    verdict = ads.measure(*words, "--seconds", "16", "--json", parse=True)
    assert verdict["passed"]
    assert verdict["figures"]["requests"] >= 1000
