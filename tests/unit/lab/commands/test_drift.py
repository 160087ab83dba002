"""`lab drift` shows the windows, names the verdict in one sentence, and writes the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from infra.settings import Settings
from lab.cli import app
from lab.commands.learning import drift
from tests.support.drift_source import SEGMENTS, FakeDesign, release, write_log

DESIGN = FakeDesign()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A release of the fake design in the place of the feed."""
    found = Settings(home=tmp_path, preset="smoke")
    release(found.design_root(DESIGN.name))
    monkeypatch.setattr(drift, "find_design", lambda name: DESIGN)
    monkeypatch.setattr(drift, "settings_for", lambda preset: found)
    return found


def grow(settings: Settings, minutes: range, rate: float = 0.08) -> None:
    for minute in minutes:
        root = settings.design_root(DESIGN.name)
        write_log(root, np.random.default_rng(minute), minute, np.full(SEGMENTS, rate))


def shown(*words: str) -> str:
    done = CliRunner().invoke(app, ["drift", "feed_ranking", *words])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_without_a_window_the_command_says_what_to_run(settings: Settings) -> None:
    assert "no window yet; run: lab live feed_ranking" in shown()


def test_windows_of_the_reference_have_no_verdict(settings: Settings) -> None:
    grow(settings, range(2))
    assert "no verdict yet: the reference has 2 of 3 windows with labels" in shown()


def test_a_drift_is_named_with_its_figures_and_the_report_is_written(settings: Settings, tmp_path: Path) -> None:
    grow(settings, range(5))
    assert shown().endswith("feed_ranking: no drift")
    grow(settings, range(5, 8), rate=0.02)
    printed = shown("--html", str(tmp_path / "drift.html"))
    assert "feed_ranking: the model has drifted: calibration:" in printed
    assert "<svg" in (tmp_path / "drift.html").read_text()
    status = json.loads(shown("--no-update", "--json"))
    assert status["is_drifted"]
    assert status["windows"] == 8


def test_without_update_the_command_reads_no_log(settings: Settings) -> None:
    grow(settings, range(1))
    assert "no window yet" in shown("--no-update")


def test_a_damaged_file_of_the_log_is_named(settings: Settings) -> None:
    grow(settings, range(2))
    file = min((settings.design_root(DESIGN.name) / "live" / "labels").rglob("part-*"))
    file.write_bytes(b"")
    assert (
        f"1 damaged files of the live log are left out, the newest is labels/date=2026-01-05/hour=00/{file.name}"
        in shown()
    )
