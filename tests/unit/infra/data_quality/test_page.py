"""The report's pages show every finding with its status, and values of the log as text."""

from __future__ import annotations

import json
from pathlib import Path

from infra.data_quality.page import day_page, index_page, write_pages
from infra.data_quality.results import Finding, Report, write_report

DAY = "2026-01-05"
BROKEN = Finding(
    "log", DAY, "policy is one of 'a'", "range", "failed", 10, 1, samples=({"policy": "<script>x</script>"},)
)
LATE = Finding("log", DAY, "label", "label_delay", "warned", 10, 2)
FINE = Finding("people", "", "user_id not null", "null", "passed", 5, 0)
REPORT = Report("tiny", "smoke", {"log": {DAY: 10}, "people": {"": 5}}, (FINE, LATE, BROKEN))


def test_index_lists_failures_before_warnings_and_no_passed_check() -> None:
    page = index_page(REPORT)
    assert page.index("policy is one of") < page.index(">label<")
    assert FINE.rule not in page
    assert f'href="days/{DAY}.html"' in page


def test_values_of_the_log_are_escaped() -> None:
    for page in (index_page(REPORT), day_page(REPORT, DAY)):
        assert "<script>" not in page
        assert "policy=&lt;script&gt;" in page


def test_page_and_file_of_each_day(tmp_path: Path) -> None:
    write_report(tmp_path, REPORT)
    write_pages(tmp_path, REPORT)
    assert sorted(path.name for path in (tmp_path / "days").iterdir()) == sorted(
        f"{name}.{kind}" for name in (DAY, "tables") for kind in ("html", "json")
    )
    statuses = {
        name: json.loads((tmp_path / "days" / f"{name}.json").read_text())["status"] for name in (DAY, "tables")
    }
    assert statuses == {DAY: "failed", "tables": "passed"}
    whole = json.loads((tmp_path / "report.json").read_text())
    assert (whole["status"], len(whole["failures"]), len(whole["warnings"])) == ("failed", 1, 1)


def test_report_without_findings_says_that_every_check_passed() -> None:
    assert "Every check passed" in index_page(Report("tiny", "smoke", {}, (FINE,)))
