"""Builds write their outcome, and the monitor exports it with the steps and the data-quality report of a design."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from infra.build.outcome import failed_report, read_outcome, recorded_outcome
from infra.data_quality.results import Finding, Report, Status, write_report
from infra.errors import BudgetBroken, Busy, UsageError
from infra.settings import Settings
from infra.telemetry.builds import BuildMetrics


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, preset="smoke")


def exported(settings: Settings, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(BuildMetrics(["tiny"], settings))
    return registry.get_sample_value(f"lab_{name}", {"design": "tiny", **labels})


def test_design_without_a_build_exports_nothing(settings: Settings) -> None:
    assert exported(settings, "build_failed") is None
    assert exported(settings, "build_last_success_timestamp_seconds") is None


def test_failed_build_keeps_the_time_of_the_last_success_until_a_build_ends_well(settings: Settings) -> None:
    root, before = settings.design_root("tiny"), time.time()
    with recorded_outcome(root):
        pass
    succeeded = exported(settings, "build_last_success_timestamp_seconds")
    assert succeeded is not None
    assert before <= succeeded <= time.time()
    with pytest.raises(BudgetBroken), recorded_outcome(root):
        raise BudgetBroken("worse than a constant")
    outcome = read_outcome(root)
    assert outcome is not None
    assert outcome.error == "BudgetBroken: worse than a constant"
    assert exported(settings, "build_failed") == 1.0
    assert exported(settings, "build_last_success_timestamp_seconds") == succeeded
    with recorded_outcome(root, is_whole=False):
        pass
    assert exported(settings, "build_failed") == 0.0
    assert exported(settings, "build_last_success_timestamp_seconds") == succeeded, "one step is no build"


@pytest.mark.parametrize("error", [UsageError, Busy])
def test_wrong_usage_and_a_busy_lock_are_no_outcome(settings: Settings, error: type[Exception]) -> None:
    with pytest.raises(error), recorded_outcome(settings.design_root("tiny")):
        raise error("no")
    assert read_outcome(settings.design_root("tiny")) is None


def test_steps_of_the_current_build_are_exported_with_their_counts(settings: Settings) -> None:
    root = settings.design_root("tiny")
    step = root / "steps" / "train" / "abc"
    step.mkdir(parents=True)
    summary = {"seconds": 2.5, "peak_mb": 100.0, "facts": {"rows": 7, "auc": 0.7, "version": 3, "gate": "first"}}
    (step / "step.json").write_text(json.dumps(summary))
    (root / "current.json").write_text(json.dumps({"train": str(step), "gone": str(root / "steps" / "gone")}))
    assert exported(settings, "build_step_seconds", step="train") == 2.5
    assert exported(settings, "build_step_peak_bytes", step="train") == 1e8
    assert exported(settings, "build_step_count", step="train", of="rows") == 7.0
    assert exported(settings, "build_step_count", step="train", of="version") is None
    assert exported(settings, "build_step_seconds", step="gone") is None


def test_data_quality_report_of_a_failed_build_replaces_that_of_the_served_one(settings: Settings) -> None:
    root = settings.design_root("tiny")
    assert exported(settings, "data_quality_failures") is None
    step = root / "steps" / "validate" / "abc"
    write_report(step / "report", report_with("warned"))
    (root / "current.json").write_text(json.dumps({"validate": str(step)}))
    assert exported(settings, "data_quality_failures") == 0.0
    assert exported(settings, "data_quality_warnings") == 1.0
    write_report(failed_report(root), report_with("failed", "failed", "warned"))
    assert exported(settings, "data_quality_failures") == 2.0
    checked = exported(settings, "data_quality_checked_timestamp_seconds")
    assert checked == (failed_report(root) / "report.json").stat().st_mtime
    with recorded_outcome(root):
        pass
    assert exported(settings, "data_quality_failures") == 0.0


def report_with(*statuses: Status) -> Report:
    found = [Finding("log", "", f"rule {place}", "range", status, 9, 1) for place, status in enumerate(statuses)]
    return Report("tiny", "smoke", {"log": {"": 9}}, tuple(found))
