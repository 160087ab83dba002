"""`lab quality` shows the newest report of the log's checks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.build.fingerprints import step_paths
from infra.build.outcome import keep_report
from infra.data_quality.page import write_pages
from infra.data_quality.results import Finding, Report, write_report
from infra.errors import DataRejected, InputsMissing, UsageError
from infra.settings import Settings
from lab.cli import app
from lab.designs import find_design

DESIGN = find_design("eta_prediction")
DAY = "2026-01-05"
FINE = Finding("trips", DAY, "quoted_s in 0 to 14400", "range", "passed", 10, 0)
BROKEN = Finding("trips", DAY, "trip_id not null", "null", "failed", 10, 1, samples=({"file": "part-0", "row": 4},))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setenv("LAB_PRESET", "smoke")
    return Settings(home=tmp_path, preset="smoke")


def write(directory: Path, *findings: Finding) -> None:
    report = Report(DESIGN.name, "smoke", {"trips": {DAY: 10}}, findings)
    write_report(directory / "report", report)
    write_pages(directory / "report", report)


def test_build_without_a_report_names_the_command_to_run(settings: Settings) -> None:
    done = CliRunner().invoke(app, ["quality", DESIGN.name])
    assert isinstance(done.exception, InputsMissing)
    assert done.exception.hint == f"run: lab build {DESIGN.name}"


def test_report_of_the_newest_build_is_shown(settings: Settings) -> None:
    write(step_paths(DESIGN, settings)["validate"], FINE)
    done = CliRunner().invoke(app, ["quality", DESIGN.name, "--json"])
    assert done.exit_code == 0
    assert json.loads(done.output)["rows"] == {"trips": {DAY: 10}}
    done = CliRunner().invoke(app, ["quality", DESIGN.name, "--day", DAY, "--json"])
    assert [finding["rule"] for finding in json.loads(done.output)["findings"]] == [FINE.rule]


def test_failed_check_is_shown_before_the_build_that_passed(settings: Settings, tmp_path: Path) -> None:
    write(step_paths(DESIGN, settings)["validate"], FINE)
    write(tmp_path / "partial", FINE, BROKEN)
    keep_report(settings.design_root(DESIGN.name), tmp_path / "partial")
    done = CliRunner().invoke(app, ["quality", DESIGN.name])
    assert isinstance(done.exception, DataRejected)
    assert BROKEN.rule in done.output
    assert "file=part-0, row=4" in done.output


def test_unknown_day_lists_the_days(settings: Settings) -> None:
    write(step_paths(DESIGN, settings)["validate"], FINE)
    done = CliRunner().invoke(app, ["quality", DESIGN.name, "--day", "2026-02-31"])
    assert isinstance(done.exception, UsageError)
    assert DAY in done.exception.hint
