"""`lab load` judges a run by the budgets of the service, and its exit code shows a broken budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.conftest import Lab

pytestmark = pytest.mark.timeout(1200)


@pytest.mark.timing
def test_healthy_feed_keeps_its_budgets_under_load(timed_lab: Lab, tmp_path: Path) -> None:
    words = ("load", "feed_ranking", "--users", "8", "--seconds", "27", "--out", str(tmp_path), "--json")
    verdict = timed_lab.measure(*words, parse=True)
    assert verdict["passed"]
    assert verdict["figures"]["requests"] >= 1000
    assert verdict["asked_per_s"] == 40
    assert 30 < verdict["figures"]["served_per_s"] < 50
    assert verdict["machine"]["other_share"] is not None, "`lab up` reports its own processes"
    assert {row["budget"] for row in verdict["budgets"]} == {"p99_ms", "success_share", "degraded_share"}
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert (tmp_path / "stats_stats.csv").exists()


@pytest.mark.timing
def test_load_with_the_feature_store_down_breaks_a_budget_and_exits_with_3(timed_lab: Lab, tmp_path: Path) -> None:
    with timed_lab.fault("feature_store", "down"):
        printed = timed_lab.measure(
            "load", "feed_ranking", "--users", "8", "--seconds", "2", "--out", str(tmp_path), code=3
        )
    assert "degraded_share" in printed
    assert "BROKEN" in printed


@pytest.mark.timing
def test_load_with_too_few_requests_is_inconclusive(timed_lab: Lab, tmp_path: Path) -> None:
    """A busy machine would be a second reason for the same exit code."""
    printed = timed_lab.run("load", "feed_ranking", "--users", "2", "--seconds", "2", "--out", str(tmp_path), code=5)
    assert "too few" in printed


@pytest.mark.alone
def test_overload_run_sheds_requests_and_ignores_the_budgets(timed_lab: Lab, tmp_path: Path) -> None:
    words = ("load", "feed_ranking", "--overload", "--users", "120", "--seconds", "4", "--out", str(tmp_path), "--json")
    report = timed_lab.run(*words, parse=True)
    assert report["asked_per_s"] == 600
    assert report["figures"]["wrong"] == 0
    assert report["overload"]["shed_share"]["value"] > 0
    assert "budgets" not in report


def test_load_whose_reports_cannot_be_written_says_where_to_write_them(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    printed = lab.run("load", "feed_ranking", "--seconds", "1", "--out", str(tmp_path / "file"), code=1)
    assert f"cannot write under {tmp_path / 'file'}" in printed.replace("\n", "")
    assert "--out" in printed


def test_load_without_a_service_prints_how_to_start_it(lab: Lab, tmp_path: Path, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    assert "lab up" in lab.run("load", "feed_ranking", "--url", url, "--out", str(tmp_path), code=4)
