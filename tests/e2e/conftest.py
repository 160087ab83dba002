"""Fixtures that run `lab up` in a separate process on a free port."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from infra.settings import REPOSITORY, Settings
from lab.designs import find_design
from lab.services.client import request
from lab.services.ports import free_port, url_of, worker_port_of
from tests.conftest import ENVIRONMENT, HOME
from tests.support.patience import DEADLINE_FACTOR
from tests.support.smoke_build import copy_home
from tests.support.tries import BROKEN, broken_by_speed_alone, conclusive_run
from tests.support.waiting import PATIENCE_S, until

FEED_HOME, ADS_HOME, ETA_HOME, OWN_HOME, TIMED_FEED_HOME, TIMED_ADS_HOME, TIMED_ETA_HOME, REPLICAS_HOME = (
    REPOSITORY / "var" / f"live{number}" for number in range(1, 9)
)
"""Copies of the built home, one per lab, because live events change the served data and the next build."""
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
    def replica_urls(self) -> list[str]:
        """The address of each replica of the service."""
        rows = self.run("status", "--json", parse=True)
        return [row["url"] for row in rows if row["service"].partition("-")[0] == self.design and row["model"]]

    @property
    def service_pid(self) -> int:
        return self.pid_of(self.design)

    def pid_of(self, name: str) -> int:
        """Return the process id of the service, its worker (`feed_ranking-worker`) or the broker (`stream`)."""
        rows = self.run("status", "--json", parse=True)
        return next(int(row["pid"]) for row in rows if row["service"] == name)

    @property
    def worker_url(self) -> str:
        return f"http://127.0.0.1:{worker_port_of(find_design(self.design), Settings(port=self.port))}"

    def counted(self, name: str, **labels: str) -> float:
        """Return the sum of a metric of the worker over the series with these labels."""
        text = request("GET", f"{self.worker_url}/metrics").text
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        rows = re.findall(rf"^{name}(\{{[^}}]*\}})? (\S+)$", text, re.M)
        return sum(float(value) for found, value in rows if all(part in found for part in wanted))

    def await_settled(self) -> None:
        """Wait until the worker has handled and stored every acknowledged event."""
        until(self._has_no_lag, "no lag")
        time.sleep(6.0)  # the sink collects events for five seconds
        until(self._has_no_lag, "no lag")

    def _has_no_lag(self) -> bool:
        try:
            return self.counted("lab_stream_lag") == 0
        except httpx.HTTPError:
            return False

    def has_new_process(self, old: int) -> bool:
        """True if the supervisor lists the service with another process than `old`."""
        rows = self.run("status", "--json", parse=True)
        return any(row["service"] == self.design and row["pid"] not in (None, old) for row in rows)

    def run(self, *words: str, code: int = 0, parse: bool = False) -> Any:
        """Run `lab words…` and return its output, or the parsed JSON. Fails if the exit code is not `code`."""
        return self._read(run_lab(*words, environment=self.environment), code, parse)

    def measure(self, *words: str, code: int = 0, parse: bool = False) -> Any:
        """Like `run`, for a command that measures speed. Repeats the command while its result is inconclusive."""
        done = conclusive_run(lambda: run_lab(*words, environment=self.environment), code)
        if done.returncode == BROKEN != code and parse:
            verdict = json.loads(done.stdout)
            assert verdict["figures"]["wrong"] == 0
            rows = [row | {"figure": row["budget"], "phase": "load"} for row in verdict["budgets"]]
            if slow := broken_by_speed_alone(rows):
                pytest.skip(f"the machine is too slow: {slow}")
        return self._read(done, code, parse)

    @contextmanager
    def fault(self, port: str, kind: str, *words: str) -> Iterator[None]:
        """Inject a fault for the length of the block."""
        self.run("fault", self.design, port, kind, *words)
        try:
            yield
        finally:
            self.run("fault", self.design, port, "clear")

    def _read(self, done: subprocess.CompletedProcess[str], code: int, parse: bool) -> Any:
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout) if parse else done.stdout + done.stderr

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)


def run_lab(*words: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LAB, *words], env=environment, cwd=REPOSITORY, capture_output=True, text=True, timeout=400, check=False
    )


def start_lab(
    home: Path | None = None,
    design: str = "feed_ranking",
    deadline_factor: int = DEADLINE_FACTOR,
    replicas: int = 1,
    *,
    retrain: bool = False,
) -> Lab:
    """Start `lab up`. By default its deadlines are so long that a busy machine degrades no response, and its monitor
    starts no retraining."""
    port = free_port()
    environment = ENVIRONMENT | {"LAB_PORT": str(port), "COLUMNS": "200", "LAB_DEADLINE_FACTOR": str(deadline_factor)}
    environment["LAB_ALERT_CLOCK"] = "10"  # alerts come within seconds
    environment["LAB_RETRAIN"] = str(retrain).lower()
    if home is not None:
        environment |= {"LAB_HOME": str(home)}
    process = subprocess.Popen(
        [LAB, "up", design, "--workers", str(replicas)],
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
        if "Ctrl-C" in line:
            return Lab(process, port, environment, welcome, design)
    raise AssertionError(f"lab up ended: {welcome}")


def alive(pids: list[int]) -> list[int]:
    """Return the `pids` that still run; a zombie does not."""
    running = []
    for pid in pids:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                running.append(pid)
        except psutil.NoSuchProcess:
            continue
    return running


def answers(url: str) -> bool:
    try:
        return request("GET", f"{url}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="package")
def lab(settings: Settings) -> Iterator[Lab]:
    """One lab with the feed, shared by the tests that use it, send live traffic or break a part.

    It stops when the test process leaves this package, because an idle lab takes a fifth of a core from other tests.
    """
    copy_home(HOME, FEED_HOME)
    yield from running_until_the_end(start_lab(FEED_HOME))


@pytest.fixture(scope="module")
def ads(settings: Settings) -> Iterator[Lab]:
    """A lab with two replicas of the ads."""
    copy_home(HOME, ADS_HOME)
    yield from running_until_the_end(start_lab(ADS_HOME, "ctr_prediction", replicas=2))


@pytest.fixture(scope="module")
def rides(settings: Settings) -> Iterator[Lab]:
    """A lab with two replicas of ride ETA."""
    copy_home(HOME, ETA_HOME)
    yield from running_until_the_end(start_lab(ETA_HOME, "eta_prediction", replicas=2))


@pytest.fixture(scope="package")
def timed_lab(settings: Settings) -> Iterator[Lab]:
    """A lab with the feed and its own deadlines, shared by the tests that measure speed or overload it."""
    copy_home(HOME, TIMED_FEED_HOME)
    yield from running_until_the_end(start_lab(TIMED_FEED_HOME, deadline_factor=1))


@pytest.fixture(scope="module")
def timed_ads(settings: Settings) -> Iterator[Lab]:
    copy_home(HOME, TIMED_ADS_HOME)
    yield from running_until_the_end(start_lab(TIMED_ADS_HOME, "ctr_prediction", deadline_factor=1))


@pytest.fixture(scope="module")
def timed_rides(settings: Settings) -> Iterator[Lab]:
    copy_home(HOME, TIMED_ETA_HOME)
    yield from running_until_the_end(start_lab(TIMED_ETA_HOME, "eta_prediction", deadline_factor=1))


def running_until_the_end(running: Lab) -> Iterator[Lab]:
    """Yield the lab and stop it at the end, by force if it does not stop by itself."""
    yield running
    if running.process.poll() is None:
        try:
            running.stop()
        except subprocess.TimeoutExpired:
            os.killpg(running.process.pid, signal.SIGKILL)
            raise
