"""Ctrl-C, kills, taken ports and bad settings lead to a clear message and leave no process behind."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from infra.settings import REPOSITORY, Settings
from tests.conftest import ENVIRONMENT, HOME
from tests.e2e.conftest import LAB, OWN_HOME, alive, run_lab, start_lab
from tests.support.smoke_build import copy_home
from tests.support.waiting import PATIENCE_S, until


def process_tree(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


@pytest.fixture(scope="module")
def own_home(settings: Settings) -> Path:
    copy_home(HOME, OWN_HOME)
    return OWN_HOME


def test_ctrl_c_stops_all_processes(own_home: Path) -> None:
    lab = start_lab(own_home)
    pids = process_tree(lab.process.pid)
    assert len(pids) >= 2
    assert lab.stop() == 0
    assert lab.process.stdout is not None
    assert "no process is left running" in lab.process.stdout.read()
    assert alive(pids) == []
    assert "no lab is running" in lab.run("status")


def test_lab_down_stops_the_lab_from_another_terminal(own_home: Path) -> None:
    lab = start_lab(own_home)
    pids = process_tree(lab.process.pid)
    assert "stopped" in lab.run("down")
    lab.process.wait(PATIENCE_S)
    assert alive(pids) == []
    assert "no lab was running" in lab.run("down")


def test_services_end_when_the_supervisor_is_killed(own_home: Path) -> None:
    lab = start_lab(own_home)
    pids = process_tree(lab.process.pid)
    lab.process.kill()
    lab.process.wait(PATIENCE_S)
    until(lambda: not alive(pids), "the end of the services")
    assert "no lab is running" in lab.run("status")


def test_lab_up_reports_a_taken_port_before_the_build(settings: Settings, free_port: int, tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"LAB_PORT": str(free_port), "LAB_HOME": str(tmp_path)}
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port))
        other.listen()
        done = run_lab("up", environment=environment)
    assert done.returncode == 4
    assert f"port {free_port} is taken" in done.stderr
    assert "LAB_PORT=" in done.stderr
    assert not (tmp_path / "smoke" / "feed_ranking").exists()


def test_killed_build_keeps_only_finished_steps_and_resumes(tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"LAB_HOME": str(tmp_path)}
    steps = tmp_path / "smoke" / "feed_ranking" / "steps"
    process = subprocess.Popen([LAB, "build", "feed_ranking"], env=environment, cwd=REPOSITORY, stderr=subprocess.PIPE)
    until(lambda: list(steps.glob("train/*.partial")), "the start of training")
    time.sleep(0.5)
    process.kill()
    process.communicate()
    done = sorted(path.parent.name for path in steps.glob("*/*") if path.suffix != ".partial")
    assert done == ["features", "live", "materialize", "sample", "validate", "world"]
    assert not (tmp_path / "smoke" / "feed_ranking" / "current.json").exists()
    assert "run: " in run_lab("serve", "feed_ranking", environment=environment).stderr

    again = subprocess.Popen(
        [LAB, "build", "feed_ranking"], env=environment, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    assert again.stderr is not None
    lines = [again.stderr.readline() for _ in range(3)]
    assert all("up to date" in line for line in lines), lines
    until(lambda: list(steps.glob("train/*.partial")), "the start of training after the restart")
    again.terminate()
    _, printed = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 143
    assert "goes on" in printed


def test_build_ends_when_the_supervisor_is_killed(free_port: int, tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"LAB_HOME": str(tmp_path), "LAB_PORT": str(free_port)}
    process = subprocess.Popen([LAB, "up"], env=environment, cwd=REPOSITORY, stderr=subprocess.PIPE)
    steps = tmp_path / "smoke" / "feed_ranking" / "steps"
    until(lambda: list(steps.glob("world/*")), "the start of the build")
    pids = process_tree(process.pid)
    assert len(pids) == 3, "the supervisor, the broker and the build"
    process.kill()
    process.communicate()
    until(lambda: not alive(pids), "the end of the build")


def test_build_reports_a_home_that_is_not_writable(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    done = run_lab("build", "feed_ranking", environment=ENVIRONMENT | {"LAB_HOME": str(blocked / "home")})
    assert done.returncode == 1
    assert "LAB_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_invalid_environment_variable_is_reported(free_port: int) -> None:
    done = run_lab("status", environment=ENVIRONMENT | {"LAB_PRESET": "gigantic"})
    assert done.returncode == 2
    assert "LAB_" in done.stderr


def test_ask_without_a_running_service_prints_how_to_start_it(free_port: int, tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"LAB_PORT": str(free_port), "LAB_HOME": str(tmp_path)}
    done = run_lab("ask", "feed_ranking", environment=environment)
    assert done.returncode == 4
    assert "lab up" in done.stderr
