"""The lab as a user runs it: `lab up` in a process of its own, on a port of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from infra.errors import Inconclusive
from infra.settings import REPOSITORY, Settings
from lab.designs import find_design
from lab.services.ports import free_port, url_of
from tests.conftest import ENVIRONMENT

LIVE_HOME = REPOSITORY / "var" / "tests-live"
"""a home of its own: what happens live changes what is served, and the next build"""
TRIES = 3
LAB = str(REPOSITORY / ".venv" / "bin" / "lab")


@dataclass
class Lab:
    """A running `lab up`."""

    process: subprocess.Popen[str]
    port: int
    environment: dict[str, str]
    welcome: str
    design: str = "feed_ranking"

    @property
    def url(self) -> str:
        own = find_design(self.design)
        return url_of(own, Settings(port=self.port))

    @property
    def service_pid(self) -> int:
        return self.pid_of(self.design)

    def pid_of(self, name: str) -> int:
        """Of the service, its worker (`feed_ranking-worker`) or the broker (`stream`)."""
        rows = self.run("status", "--json", parse=True)
        return next(int(row["pid"]) for row in rows if row["service"] == name)

    def run(self, *words: str, code: int = 0, parse: bool = False) -> Any:
        """`lab words…`; returns what it printed, as JSON if asked. Fails on another exit code."""
        done = run_lab(*words, environment=self.environment)
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout) if parse else done.stdout + done.stderr

    def judged(self, *words: str, code: int = 0, parse: bool = False) -> Any:
        """As `run`, for a command that judges budgets: tried again while the machine is too busy to tell."""
        for _ in range(TRIES):
            done = run_lab(*words, environment=self.environment)
            if done.returncode != Inconclusive.exit_code:
                assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
                return json.loads(done.stdout) if parse else done.stdout + done.stderr
        pytest.skip(f"inconclusive {TRIES} times: {done.stderr}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(15)


def run_lab(*words: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LAB, *words], env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )


def start_lab(home: Path | None = None, design: str = "feed_ranking") -> Lab:
    port = free_port()
    environment = ENVIRONMENT | {"LAB_PORT": str(port), "COLUMNS": "200"}
    if home is not None:
        environment |= {"LAB_HOME": str(home)}
    process = subprocess.Popen(
        [LAB, "up", design],
        env=environment,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    welcome = ""
    for line in process.stdout:
        welcome += line
        if line.startswith("Ctrl-C"):
            return Lab(process, port, environment, welcome, design)
    raise AssertionError(f"lab up ended: {welcome}")


def alive(pids: list[int]) -> list[int]:
    """Those of `pids` that still run (a zombie does not)."""
    running = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                running.append(pid)
        except psutil.NoSuchProcess:
            continue
    return running


def wait_until(condition: Any, seconds: float, what: str) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited in vain: {what}"
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def lab(settings: Settings) -> Iterator[Lab]:
    """One lab for the tests that only use it. `test_bad_luck` starts its own and therefore runs before it is up."""
    running = start_lab(LIVE_HOME)
    yield running
    if running.process.poll() is None:
        try:
            running.stop()
        except subprocess.TimeoutExpired:
            os.killpg(running.process.pid, signal.SIGKILL)
            raise
