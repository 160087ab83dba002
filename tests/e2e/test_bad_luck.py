"""Ctrl-C, kills, crashes and taken ports: a clear word, and nothing left behind."""

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


def family(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


@pytest.fixture(scope="module")
def own_home(settings: Settings) -> Path:
    copy_home(HOME, OWN_HOME)
    return OWN_HOME


def test_ctrl_c_stops_everything_cleanly(own_home: Path) -> None:
    lab = start_lab(own_home)
    pids = family(lab.process.pid)
    assert len(pids) >= 2
    assert lab.stop() == 0
    assert lab.process.stdout is not None
    assert "no process is left running" in lab.process.stdout.read()
    assert alive(pids) == []
    assert "no lab is running" in lab.run("status")


def test_down_stops_it_from_another_terminal(own_home: Path) -> None:
    lab = start_lab(own_home)
    pids = family(lab.process.pid)
    assert "stopped" in lab.run("down")
    lab.process.wait(PATIENCE_S)
    assert alive(pids) == []
    assert "no lab was running" in lab.run("down")


def test_a_supervisor_that_is_killed_takes_its_services_with_it(own_home: Path) -> None:
    lab = start_lab(own_home)
    pids = family(lab.process.pid)
    lab.process.kill()
    lab.process.wait(PATIENCE_S)
    until(lambda: not alive(pids), "services outlive their supervisor")
    assert "no lab is running" in lab.run("status")


def test_a_taken_port_is_named_before_anything_is_built(settings: Settings, free_port: int, tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"LAB_PORT": str(free_port), "LAB_HOME": str(tmp_path)}
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port))
        other.listen()
        done = run_lab("up", environment=environment)
    assert done.returncode == 4
    assert f"port {free_port} is taken" in done.stderr
    assert "LAB_PORT=" in done.stderr
    assert not (tmp_path / "smoke" / "feed_ranking").exists()


def test_a_build_that_is_killed_leaves_nothing_half_written_and_goes_on(tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"LAB_HOME": str(tmp_path)}
    steps = tmp_path / "smoke" / "feed_ranking" / "steps"
    process = subprocess.Popen([LAB, "build", "feed_ranking"], env=environment, cwd=REPOSITORY, stderr=subprocess.PIPE)
    until(lambda: list(steps.glob("train/*.partial")), "training begins")
    time.sleep(0.5)
    process.kill()
    process.communicate()
    done = sorted(path.parent.name for path in steps.glob("*/*") if path.suffix != ".partial")
    assert done == ["features", "live", "materialize", "sample", "world"]
    assert not (tmp_path / "smoke" / "feed_ranking" / "current.json").exists()
    assert "run: " in run_lab("serve", "feed_ranking", environment=environment).stderr

    again = subprocess.Popen(
        [LAB, "build", "feed_ranking"], env=environment, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    assert again.stderr is not None
    told = [again.stderr.readline() for _ in range(3)]
    assert all("up to date" in line for line in told), told
    until(lambda: list(steps.glob("train/*.partial")), "training begins again")
    again.terminate()
    _, said = again.communicate(timeout=PATIENCE_S)
    assert again.returncode == 143
    assert "goes on" in said


def test_a_supervisor_that_is_killed_takes_its_build_with_it(free_port: int, tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"LAB_HOME": str(tmp_path), "LAB_PORT": str(free_port)}
    process = subprocess.Popen([LAB, "up"], env=environment, cwd=REPOSITORY, stderr=subprocess.PIPE)
    steps = tmp_path / "smoke" / "feed_ranking" / "steps"
    until(lambda: list(steps.glob("world/*")), "building begins")
    pids = family(process.pid)
    assert len(pids) == 3, "the supervisor, the broker and the build"
    process.kill()
    process.communicate()
    until(lambda: not alive(pids), "the build outlives its supervisor")


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a directory")
    done = run_lab("build", "feed_ranking", environment=ENVIRONMENT | {"LAB_HOME": str(blocked / "home")})
    assert done.returncode == 1
    assert "LAB_HOME" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bad_environment_variable_is_named(free_port: int) -> None:
    done = run_lab("status", environment=ENVIRONMENT | {"LAB_PRESET": "gigantic"})
    assert done.returncode == 2
    assert "LAB_" in done.stderr


def test_asking_when_nothing_runs_says_how_to_start(free_port: int, tmp_path: Path) -> None:
    environment = ENVIRONMENT | {"LAB_PORT": str(free_port), "LAB_HOME": str(tmp_path)}
    done = run_lab("ask", "feed_ranking", environment=environment)
    assert done.returncode == 4
    assert "lab up" in done.stderr
