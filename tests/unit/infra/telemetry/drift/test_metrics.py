"""The metrics of drift, and the report, come from what the monitor stored."""

from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry, generate_latest

from infra.settings import Settings
from infra.telemetry.drift.metrics import DriftMetrics
from infra.telemetry.drift.report import write_report
from infra.telemetry.drift.status import FILE, FOLDER, Status, read_status, write_status
from infra.telemetry.drift.update import update_drift
from tests.support.drift_source import SEGMENTS, FakeDesign, release, write_log

DESIGN = FakeDesign()


def exported(settings: Settings) -> str:
    registry = CollectorRegistry()
    registry.register(DriftMetrics(["fake", "absent"], settings))
    return generate_latest(registry).decode()


def test_metrics_follow_the_status_and_a_design_without_a_window_has_none(tmp_path: Path):
    settings = Settings(home=tmp_path, preset="smoke")
    assert 'design="' not in exported(settings)
    root = settings.design_root("fake")
    (root / FOLDER).mkdir(parents=True)
    status = Status(
        "fake-smoke/1",
        "digest1",
        windows=7,
        reference=3,
        updated_at=100.0,
        drifted_at=40.0,
        reasons=("calibration",),
        calibration={"all": (0.4, 0.8)},
        loss={"all": (0.6, 0.4)},
        psi={"x": 0.3},
        unknown_share=0.1,
        labelled_share=0.45,
        labelled_before=0.9,
        damaged=("labels/part-1", "labels/part-2"),
        due_at=130.0,
    )
    write_status(root, status)
    assert read_status(root) == status
    text = exported(settings)
    assert 'lab_drift_detected{design="fake"} 1.0' in text
    assert 'lab_drift_calibration_ratio{design="fake",segment="all"} 0.4' in text
    assert 'lab_drift_loss_ratio{design="fake",segment="all"} 1.4999' in text
    assert 'lab_drift_psi{design="fake",input="x"} 0.3' in text
    assert 'lab_drift_calibration_change{design="fake"} 0.5' in text
    assert 'lab_drift_missing_labels_share{design="fake"} 0.5' in text
    assert 'lab_drift_damaged_files{design="fake"} 2.0' in text
    assert "absent" not in text


def test_a_damaged_status_gives_no_metrics(tmp_path: Path):
    settings = Settings(home=tmp_path, preset="smoke")
    (settings.design_root("fake") / FOLDER).mkdir(parents=True)
    for text in ("{", "[]", '{"windows": 3}'):
        (settings.design_root("fake") / FOLDER / FILE).write_text(text)
        assert 'design="' not in exported(settings)


def test_the_report_names_the_verdict_the_segments_and_the_inputs(tmp_path: Path):
    settings = Settings(home=tmp_path, preset="smoke")
    root = settings.design_root(DESIGN.name)
    release(root)
    empty = tmp_path / "empty.html"
    write_report(empty, DESIGN, settings, update_drift(DESIGN, settings))
    assert "No drift" in empty.read_text()
    for minute in range(7):
        rates = np.full(SEGMENTS, 0.08 if minute < 4 else 0.02)
        write_log(root, np.random.default_rng(minute), minute, rates)
    write_report(tmp_path / "out" / "drift.html", DESIGN, settings, update_drift(DESIGN, settings))
    page = (tmp_path / "out" / "drift.html").read_text()
    assert "Drifted since" in page
    assert "clicks / predicted clicks" in page
    assert page.count("<svg") == 2
    assert "<td>x</td>" in page
    assert "http" not in page.replace("http://www.w3.org", "")
