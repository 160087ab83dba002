"""`lab load` holds the budgets that the service declares, and can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Lab

pytestmark = [pytest.mark.timing, pytest.mark.timeout(1200)]


def test_a_healthy_feed_keeps_its_budgets_under_load(lab: Lab, tmp_path: Path) -> None:
    words = ("load", "feed_ranking", "--users", "8", "--seconds", "27", "--out", str(tmp_path), "--json")
    verdict = lab.measure(*words, parse=True)
    assert verdict["passed"]
    assert verdict["figures"]["requests"] >= 1000
    assert verdict["asked_per_s"] == 40
    assert 30 < verdict["figures"]["served_per_s"] < 50
    assert verdict["machine"]["other_share"] is not None, "`lab up` says which processes are its own"
    assert {row["budget"] for row in verdict["budgets"]} == {"p99_ms", "success_share", "degraded_share"}
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert (tmp_path / "stats_stats.csv").exists()


def test_a_broken_feature_store_breaks_a_budget_and_the_exit_code_says_so(lab: Lab, tmp_path: Path) -> None:
    with lab.fault("feature_store", "down"):
        said = lab.measure("load", "feed_ranking", "--users", "8", "--seconds", "6", "--out", str(tmp_path), code=3)
    assert "degraded_share" in said
    assert "BROKEN" in said


def test_too_few_requests_prove_nothing(lab: Lab, tmp_path: Path) -> None:
    said = lab.run("load", "feed_ranking", "--users", "2", "--seconds", "2", "--out", str(tmp_path), code=5)
    assert "too few" in said


def test_an_overload_sheds_and_is_not_judged_by_the_budgets(lab: Lab, tmp_path: Path) -> None:
    words = ("load", "feed_ranking", "--overload", "--users", "120", "--seconds", "8", "--out", str(tmp_path), "--json")
    seen = lab.run(*words, parse=True)
    assert seen["asked_per_s"] == 600
    assert seen["figures"]["wrong"] == 0
    assert seen["overload"]["shed_share"]["value"] > 0
    assert "budgets" not in seen


def test_without_a_service_the_load_says_so(lab: Lab, tmp_path: Path, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    assert "lab up" in lab.run("load", "feed_ranking", "--url", url, "--out", str(tmp_path), code=4)
