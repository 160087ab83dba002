"""The watch replaces replicas that fail or hang while another one serves, and ends the lab only if none does.

The services are small processes of Python, and the limits are short.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from infra.errors import DependencyError, LabError
from lab.services import watching
from lab.services.ports import free_port
from lab.services.processes import Service, responds, stop_all
from lab.services.watched import LIMITS, RESTARTS, Limits, Phase, Watched
from lab.services.watching import Watch
from tests.support.waiting import until

QUICK = Limits(start_timeout_s=60.0, pause_s=0.05, longest_pause_s=0.1)
SLEEP = "import os, time; os.path.exists('broken') and exit(7); time.sleep(600)"
ANSWER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@dataclass
class Fakes:
    """Fake services under watch. `changes` holds what was recorded at each change: reason and pause of those out."""

    watch: Watch
    changes: list[list[tuple[str, float]]] = field(default_factory=list)

    def __getitem__(self, name: str) -> Watched:
        return next(one for one in self.watch.watched if one.service.name == name)

    def pid(self, name: str) -> int:
        process = self[name].service.process
        assert process is not None
        return process.pid

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Look until the condition holds."""

        def holds() -> bool:
            self.watch.look()
            return condition()

        until(holds, what, 60)

    def crash(self, name: str) -> None:
        """Kill the process of a service, and look until the watch has seen it."""
        crashes = len(self[name].crashes)
        self[name].service.kill()
        self.until(lambda: len(self[name].crashes) > crashes, f"the crash of {name}")

    def recorded(self) -> None:
        watched = self.watch.watched
        self.changes.append([(one.service.out, one.pause_s) for one in watched if one.phase is Phase.OUT])


@contextmanager
def watched(services: list[Service], limits: Limits = QUICK) -> Iterator[Fakes]:
    pipe = os.open(os.devnull, os.O_RDONLY)

    def launch(service: Service) -> None:
        service.launch(os.environ, pipe)

    for service in services:
        launch(service)
    try:
        with Watch(services, launch, lambda: fakes.recorded(), limits) as watch:
            fakes = Fakes(watch)
            yield fakes
    finally:
        stop_all([service.process for service in services if service.process is not None])
        os.close(pipe)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def works() -> bool:
    return not Path("broken").exists()


def service(name: str, design: str = "", ready: Callable[[], bool] = works) -> Service:
    """A process that runs until it is killed. While a file `broken` exists, it ends at its start with status 7."""
    return Service(name, ("-c", SLEEP), Path(f"{name}.log"), ready, design=design)


def twins() -> list[Service]:
    """Two replicas. Only the second one ends at its start while the file exists."""
    return [replace(service("a", "pair"), command=("-c", "import time; time.sleep(600)")), service("b", "pair")]


@pytest.fixture
def _all_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "responds", lambda url, timeout_s: True)


@pytest.mark.usefixtures("_all_answer")
def test_replica_that_fails_to_start_is_left_out_for_growing_pauses(capfd: pytest.CaptureFixture[str]) -> None:
    with watched(twins()) as fakes:
        other = fakes.pid("a")
        Path("broken").touch()
        fakes.crash("b")
        fakes.until(lambda: len(fakes["b"].crashes) == 5, "four failed starts")
        outs = [change[0] for change in fakes.changes if change]
        assert outs == [("ended with status 7 while starting", pause_s) for pause_s in (0.05, 0.1, 0.1, 0.1)]
        assert fakes["b"].service.running().out == "ended with status 7 while starting"
        Path("broken").unlink()
        fakes.until(lambda: fakes["b"].serves, "the replica")
        assert fakes["b"].service.running().out == ""
        assert fakes.pid("a") == other
    printed = " ".join(capfd.readouterr().err.split())
    assert "b ended with status -9; starting it again" in printed
    assert "b ended with status 7 while starting; starting it again in 0.05 s" in printed


@pytest.mark.usefixtures("_all_answer")
def test_replica_that_dies_often_does_not_end_the_lab_while_another_one_serves() -> None:
    with watched(twins()) as fakes:
        for _ in range(RESTARTS + 2):
            fakes.crash("b")
            fakes.until(lambda: fakes["b"].serves, "the replica")


@pytest.mark.usefixtures("_all_answer")
def test_pauses_are_bounded_and_begin_anew_after_a_minute_of_service() -> None:
    assert [LIMITS.pause_after(crashes) for crashes in range(1, 9)] == [0, 2, 4, 8, 16, 32, 60, 60]
    assert LIMITS.pause_after(10_000) == 60
    with watched(twins()) as fakes:
        fakes["b"].crashes = [0.0] * 5
        fakes["b"].since -= 61
        fakes["b"].service.kill()
        fakes.until(lambda: len(fakes["b"].crashes) == 1, "the crash")
        assert fakes["b"].phase is Phase.STARTING


@pytest.mark.parametrize("design", ["", "pair"])
def test_last_process_that_crashes_often_ends_the_lab(design: str) -> None:
    with watched([service("a", design)]) as fakes:
        for _ in range(RESTARTS):
            fakes.crash("a")
            fakes.until(lambda: fakes["a"].serves, "the service")
        with pytest.raises(LabError, match="a exits repeatedly: it ended with status -9"):
            fakes.crash("a")


@pytest.mark.usefixtures("_all_answer")
def test_replica_that_fails_to_start_ends_the_lab_if_no_other_one_lives() -> None:
    with watched(twins(), replace(QUICK, pause_s=600, longest_pause_s=600)) as fakes:
        fakes["b"].crashes = [0.0]
        fakes.crash("b")
        assert fakes["b"].phase is Phase.OUT
        fakes["a"].service.command = fakes["b"].service.command
        Path("broken").touch()
        fakes["a"].service.kill()
        with pytest.raises(LabError, match="a ended with status 7 while starting"):
            fakes.until(lambda: False, "the end")


@pytest.mark.usefixtures("_all_answer")
def test_replica_that_fails_to_start_beside_one_that_starts_ends_the_lab_if_none_has_served_for_long() -> None:
    with watched(twins()) as fakes:
        fakes["a"].service.ready = lambda: False
        fakes.crash("a")
        Path("broken").touch()
        fakes.crash("b")
        fakes.until(lambda: fakes["b"].phase is Phase.OUT, "the pause while the other replica starts")
        assert fakes["a"].phase is Phase.STARTING
        fakes.watch._served["pair"] -= QUICK.start_timeout_s
        with pytest.raises(LabError, match="b ended with status 7 while starting"):
            fakes.until(lambda: False, "the end")


@pytest.mark.usefixtures("_all_answer")
def test_replica_that_is_not_ready_in_time_is_left_out() -> None:
    with watched(twins(), replace(QUICK, start_timeout_s=0.5)) as fakes:
        fakes["b"].service.ready = lambda: False
        fakes.crash("b")
        fakes.until(lambda: fakes["b"].phase is Phase.OUT, "the end of the time to start")
        assert fakes["b"].service.out == "was not ready after 0.5 s"
        assert fakes["b"].status == -signal.SIGKILL
        fakes["b"].service.ready = lambda: True
        fakes.until(lambda: fakes["b"].serves, "the replica")


def test_service_that_is_not_ready_in_time_ends_the_lab() -> None:
    with watched([service("a", ready=lambda: False)], replace(QUICK, start_timeout_s=0.2)) as fakes:
        fakes["a"].service.kill()
        with pytest.raises(DependencyError, match=r"a was not ready after 0\.2 s"):
            fakes.until(lambda: False, "the end")


def test_crash_is_handled_while_another_service_starts() -> None:
    """The question whether the first service is ready blocks until the test ends."""
    is_ready = threading.Event()
    with watched([service("slow", ready=is_ready.wait), service("worker")]) as fakes:
        fakes.crash("slow")
        before = fakes.pid("worker")
        fakes.crash("worker")
        fakes.until(lambda: fakes["worker"].serves, "the worker")
        assert fakes.pid("worker") != before
        assert fakes["slow"].phase is Phase.STARTING
        is_ready.set()
        fakes.until(lambda: fakes["slow"].serves, "the slow service")


def answering_service(name: str, port: int) -> Service:
    url = f"http://127.0.0.1:{port}"
    command = ("-c", ANSWER, str(port))
    return Service(name, command, Path(f"{name}.log"), lambda: responds(url, 1), own_url=url, design="pair")


@pytest.fixture
def answering() -> Iterator[Fakes]:
    """Two replicas that answer at a port each."""
    first = free_port()
    services = [answering_service(name, port) for name, port in (("a", first), ("b", first + 1))]
    limits = replace(QUICK, probe_every_s=0.05, probe_timeout_s=0.5, silent_probes=3)
    with watched(services, limits) as fakes:
        for one in services:
            until(one.ready, "the replica", 60)
        yield fakes


def test_replica_that_hangs_is_replaced_and_its_connections_end(
    answering: Fakes, capfd: pytest.CaptureFixture[str]
) -> None:
    hung, other = answering.pid("b"), answering.pid("a")
    os.kill(hung, signal.SIGSTOP)
    asked = threading.Thread(target=responds, args=(answering["b"].service.own_url, 60))
    asked.start()
    answering.until(lambda: answering.pid("b") != hung and answering["b"].serves, "the new replica")
    asked.join(10)
    assert not asked.is_alive(), "a request on a connection to the replica that hung ends"
    assert answering["b"].service.ready()
    assert answering.pid("a") == other
    assert "b did not answer for 1.5 s; starting it again" in " ".join(capfd.readouterr().err.split())


def test_replica_that_answers_late_is_not_killed(answering: Fakes) -> None:
    slow = answering.pid("b")
    os.kill(slow, signal.SIGSTOP)
    answering.until(lambda: answering["b"].silent == 1, "a probe without an answer")
    os.kill(slow, signal.SIGCONT)
    answering.until(lambda: answering["b"].silent == 0, "an answer")
    assert answering.pid("b") == slow
    assert answering["b"].crashes == []


def test_replica_that_hangs_is_not_killed_while_no_other_one_answers(answering: Fakes) -> None:
    pids = {name: answering.pid(name) for name in ("a", "b")}
    for pid in pids.values():
        os.kill(pid, signal.SIGSTOP)
    answering.until(lambda: min(answering[name].silent for name in pids) > 3, "probes without an answer")
    assert {name: answering.pid(name) for name in pids} == pids
    os.kill(pids["a"], signal.SIGCONT)
    answering.until(lambda: answering.pid("b") != pids["b"], "the replacement, when the other replica answers")
    assert answering.pid("a") == pids["a"]
