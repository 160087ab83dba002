"""An alert about a served model leads to one retraining: by the embedded monitor, or by an orchestrator."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry, Counter

from infra.live.retraining_request import has_request
from infra.settings import Settings
from infra.telemetry.alerts.alert import Alert
from infra.telemetry.alerts.book import AlertBook, alert_file
from infra.telemetry.alerts.evaluation import RuleEvaluation
from infra.telemetry.timeline import record
from lab.services.monitor import run
from lab.services.monitor.drift import DriftRounds
from lab.services.monitor.run import create_monitor
from tests.support.drift_source import FakeDesign, release
from tests.unit.lab.services.monitor.test_drift import child, commands

DESIGN = "feed_ranking"
LABELS = {"alertname": "ModelDrifted", "design": DESIGN, "severity": "ticket"}
NOTIFICATION = {
    "version": "4",
    "alerts": [{"status": "firing", "labels": LABELS, "startsAt": "2026-11-30T08:00:00Z"}],
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A home with a release and a log."""
    settings = Settings(home=tmp_path, preset="smoke")
    release(settings.design_root(DESIGN))
    settings.run_dir.mkdir(parents=True)
    grow(settings, "one")
    return settings


def grow(settings: Settings, name: str) -> None:
    folder = settings.design_root(DESIGN) / "live" / "log" / "date=2026-01-05" / "hour=00"
    folder.mkdir(parents=True, exist_ok=True)
    time.sleep(0.01)  # file systems keep times in steps of milliseconds
    (folder / name).touch()


def rounds(settings: Settings, *, watch: bool) -> DriftRounds:
    """The rounds of a monitor, as `create_monitor` starts them."""
    return DriftRounds([FakeDesign(name=DESIGN)], settings, retrains=watch and settings.retrain)


def evaluate(settings: Settings, monkeypatch: pytest.MonkeyPatch, *alerts: Alert) -> None:
    """One round of the embedded monitor, in which these alerts fire."""
    monkeypatch.setattr(RuleEvaluation, "evaluate", lambda self: list(alerts))
    counter = Counter("scrapes", "", ["result"], registry=CollectorRegistry())
    run._scraper(settings, AlertBook(alert_file(settings)), lambda: "", counter).look()


def notify(settings: Settings, *, watch: bool, status: str = "firing") -> int:
    """What the monitor answers to a notification of Alertmanager."""
    body: dict[str, Any] = {**NOTIFICATION, "alerts": [{**NOTIFICATION["alerts"][0], "status": status}]}  # type: ignore[dict-item]
    client = TestClient(create_monitor(settings, watch=watch), base_url="http://127.0.0.1")
    return client.post("/v1/alerts/webhook", json=body).status_code


def test_embedded_the_monitor_retrains_and_takes_no_notification(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = child(monkeypatch, tmp_path, "")
    assert notify(settings, watch=True) >= 400
    assert not has_request(settings.design_root(DESIGN))
    evaluate(settings, monkeypatch, Alert(LABELS, "", "", 1.0))
    rounds(settings, watch=True).look()
    assert commands(calls) == ["drift", "retrain"]


def test_composed_the_notification_makes_a_retraining_due_and_the_monitor_starts_none(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = child(monkeypatch, tmp_path, "")
    assert notify(settings, watch=False) == 202
    assert has_request(settings.design_root(DESIGN)), "lab retrain --check reads the request"
    rounds(settings, watch=False).look()
    assert commands(calls) == ["drift"]
    assert notify(settings, watch=False, status="resolved") == 202
    assert not has_request(settings.design_root(DESIGN))


def test_the_cooldown_holds_for_alerts_too(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = child(monkeypatch, tmp_path, "")
    evaluate(settings, monkeypatch, Alert(LABELS, "", "", 1.0))
    record(settings, DESIGN, "retraining", "started: alert ModelDrifted")
    rounds(settings, watch=True).look()
    assert commands(calls) == ["drift"]


def test_without_the_setting_the_embedded_monitor_only_reports(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls = child(monkeypatch, tmp_path, "")
    evaluate(settings, monkeypatch, Alert(LABELS, "", "", 1.0))
    rounds(settings.model_copy(update={"retrain": False}), watch=True).look()
    assert commands(calls) == ["drift"]


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="only Linux limits another process")
def test_a_retraining_that_allocates_too_much_fails_and_a_drift_monitor_may(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The children allocate 700 MB; the limit is 500 MB. They write to none of it: an idle process
    would need minutes for that on a busy machine."""
    code = "time.sleep(0.3)\nbig = bytes(700_000_000)\nopen(sys.argv[0] + '.' + sys.argv[3], 'w').close()"
    child(monkeypatch, tmp_path, code)
    evaluate(settings, monkeypatch, Alert(LABELS, "", "", 1.0))
    rounds(settings.model_copy(update={"retrain_memory_gb": 0.5}), watch=True).look()
    assert "MemoryError" in caplog.text
    assert (tmp_path / "program.drift").exists()
    assert not (tmp_path / "program.retrain").exists()
    (tmp_path / "program.drift").unlink()
    grow(settings, "two")
    rounds(settings.model_copy(update={"retrain_memory_gb": 1.0}), watch=True).look()
    assert (tmp_path / "program.retrain").exists()
