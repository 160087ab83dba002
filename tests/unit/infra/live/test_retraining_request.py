"""A request to retrain exists while an alert about the served model fires, and ends with the next release."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.live.retraining_request import FILE, has_request, keep_requests, read_request
from infra.settings import Settings
from infra.telemetry.alerts.alert import Alert
from tests.support.drift_source import release

NAMES = ("fake", "other")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path, preset="smoke")
    release(settings.design_root("fake"))
    return settings


def keep(settings: Settings, *names: str, design: str = "fake") -> None:
    keep_requests(settings, NAMES, [Alert({"alertname": name, "design": design}, "", "", 1.0) for name in names])


def test_an_alert_about_the_model_asks_and_its_end_withdraws(settings: Settings) -> None:
    root = settings.design_root("fake")
    keep(settings, "LatencyTooHigh")
    assert not has_request(root)
    keep(settings, "ModelTooOld", "CalibrationMoved")
    found = read_request(root, "digest1")
    assert found is not None
    assert (found.alerts, found.is_drift) == (("CalibrationMoved", "ModelTooOld"), True)
    keep(settings, "ModelTooOld")
    found = read_request(root, "digest1")
    assert found is not None
    assert not found.is_drift
    keep(settings)
    assert not (root / FILE).exists()


def test_the_next_release_ends_a_request_although_the_alert_still_fires(settings: Settings) -> None:
    root = settings.design_root("fake")
    keep(settings, "ModelDrifted")
    release(root, version=2)
    keep(settings, "ModelDrifted")
    assert not has_request(root), "the alert is about the model before"
    keep(settings)
    keep(settings, "ModelDrifted")
    assert has_request(root)


def test_a_design_without_a_release_is_not_asked_for_and_a_damaged_file_is_replaced(settings: Settings) -> None:
    keep(settings, "ModelDrifted", design="other")
    assert not has_request(settings.design_root("other"))
    assert not has_request(settings.design_root("fake"))
    (settings.design_root("fake") / FILE).write_text("{")
    assert not has_request(settings.design_root("fake"))
    keep(settings, "ModelDrifted")
    assert has_request(settings.design_root("fake"))
