"""The monitor runs the drift monitor of a design in a child process when its log has grown."""

import logging
import os
import sys
import time
from pathlib import Path

import pytest

from infra.registry.rollout import Rollout, write_rollout
from infra.settings import Settings
from infra.telemetry.drift.status import FOLDER, Status, write_status
from infra.telemetry.timeline import record
from lab.services.monitor import drift
from lab.services.monitor.drift import DriftRounds, newest_change
from tests.support.drift_source import FakeDesign


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, preset="smoke")


def new_file(settings: Settings, name: str) -> None:
    folder = settings.design_root("fake") / "live" / "predictions" / "date=2026-01-05" / "hour=00"
    folder.mkdir(parents=True, exist_ok=True)
    time.sleep(0.01)  # file systems keep times in steps of milliseconds
    (folder / name).touch()


def child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str) -> Path:
    """Replace the interpreter of children by a program; returns the file to which it appends its arguments."""
    calls, program = tmp_path / "calls", tmp_path / "program"
    note = f"open({str(calls)!r}, 'a').write(' '.join([*sys.argv[1:], str(os.nice(0))]) + chr(10))"
    program.write_text(f"#!{sys.executable}\nimport os, sys, time\n{note}\n{code}")
    program.chmod(0o755)
    monkeypatch.setattr(drift.sys, "executable", str(program))
    return calls


def test_a_child_runs_once_for_each_growth_of_the_log(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    calls = child(monkeypatch, tmp_path, "")
    rounds = DriftRounds([FakeDesign()], settings)
    rounds.look()
    assert not calls.exists()  # no log yet
    new_file(settings, "one.parquet")
    rounds.look()
    rounds.look()
    new_file(settings, "two.parquet")
    rounds.look()
    lines = calls.read_text().splitlines()
    assert [line.rpartition(" ")[0] for line in lines] == ["-m lab drift fake --update --json"] * 2


def test_a_child_runs_without_growth_when_the_last_window_is_due(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    calls = child(monkeypatch, tmp_path, "")
    root = settings.design_root("fake")
    (root / FOLDER).mkdir(parents=True)
    write_status(root, Status(windows=5, due_at=time.time() + 3600))
    rounds = DriftRounds([FakeDesign()], settings)
    new_file(settings, "one.parquet")
    rounds.look()
    rounds.look()
    assert commands(calls) == ["drift"]
    write_status(root, Status(windows=5, due_at=time.time() - 1))
    rounds.look()
    assert commands(calls) == ["drift"] * 2


def test_a_child_that_fails_is_logged_and_the_next_round_goes_on(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    child(monkeypatch, tmp_path, "sys.exit('the log is damaged')")
    rounds = DriftRounds([FakeDesign()], settings)
    new_file(settings, "one.parquet")
    with caplog.at_level(logging.WARNING):
        rounds.look()
    assert "the log is damaged" in caplog.text


def test_a_child_that_hangs_is_stopped(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    child(monkeypatch, tmp_path, "time.sleep(60)")
    monkeypatch.setattr(drift, "DEADLINE_S", 0.5)
    new_file(settings, "one.parquet")
    began = time.monotonic()
    DriftRounds([FakeDesign()], settings).look()
    assert time.monotonic() - began < 30


def test_the_thread_stops_with_its_child(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    calls = child(monkeypatch, tmp_path, "time.sleep(60)")
    rounds = DriftRounds([FakeDesign()], settings)
    rounds.every_s = 0.05
    new_file(settings, "one.parquet")
    with rounds:
        until = time.monotonic() + 30
        while not calls.exists() and time.monotonic() < until:
            time.sleep(0.02)
        assert calls.exists()
    assert not rounds._thread.is_alive()


def drifted(settings: Settings) -> None:
    (settings.design_root("fake") / FOLDER).mkdir(parents=True)
    write_status(settings.design_root("fake"), Status(windows=5, drifted_at=9.0, reasons=("calibration",)))


def commands(calls: Path) -> list[str]:
    return [line.split()[2] for line in calls.read_text().splitlines()]


def test_a_drift_is_followed_by_a_retraining_but_not_twice_within_the_cooldown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    calls = child(monkeypatch, tmp_path, "")
    rounds = DriftRounds([FakeDesign()], settings, retrains=True)
    new_file(settings, "one.parquet")
    rounds.look()
    assert commands(calls) == ["drift"]
    drifted(settings)
    new_file(settings, "two.parquet")
    rounds.look()
    assert commands(calls) == ["drift", "drift", "retrain"]
    record(settings, "fake", "retraining", "the model has drifted")
    new_file(settings, "three.parquet")
    rounds.look()
    assert commands(calls) == ["drift", "drift", "retrain", "drift"]


def test_no_retraining_starts_during_a_rollout(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    calls = child(monkeypatch, tmp_path, "")
    root = settings.design_root("fake")
    (root / FOLDER).mkdir(parents=True)
    write_status(root, Status(windows=5, drifted_at=1.0, reasons=("calibration",)))
    written = write_rollout(root, Rollout(), Rollout(stage="canary", share=0.2))
    assert written is not None
    rounds = DriftRounds([FakeDesign()], settings, retrains=True)
    new_file(settings, "one.parquet")
    rounds.look()
    assert commands(calls) == ["drift"]
    assert write_rollout(root, written, written.moved("stopped")) is not None
    new_file(settings, "two.parquet")
    rounds.look()
    assert commands(calls) == ["drift", "drift", "retrain"]


def test_a_monitor_that_only_reports_starts_no_retraining(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    calls = child(monkeypatch, tmp_path, "")
    drifted(settings)
    new_file(settings, "one.parquet")
    DriftRounds([FakeDesign()], settings).look()
    assert commands(calls) == ["drift"]


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="the scheduler is Linux's")
def test_children_run_only_when_the_processor_is_idle(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    code = "time.sleep(0.3); open(sys.argv[0] + '.scheduler', 'w').write(str(os.sched_getscheduler(0)))"
    child(monkeypatch, tmp_path, code)
    new_file(settings, "one.parquet")
    DriftRounds([FakeDesign()], settings).look()
    assert (tmp_path / "program.scheduler").read_text() == str(os.SCHED_IDLE)


def test_rounds_come_twice_per_window_within_bounds(settings: Settings):
    assert DriftRounds([FakeDesign(window_s=80.0)], settings).every_s == 40.0
    assert DriftRounds([FakeDesign(window_s=5.0)], settings).every_s == drift.SHORTEST_S
    assert DriftRounds([FakeDesign(window_s=9e9)], settings).every_s == drift.LONGEST_S


def test_without_a_log_nothing_has_changed(tmp_path: Path):
    assert newest_change(tmp_path) == 0.0
