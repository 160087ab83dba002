"""The feature store drill holds on a running feed, removes its fault, and fails without the fallback."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from feed_ranking.evaluation.drills import DRILLS
from feed_ranking.online.app import create_app
from feed_ranking.online.user import UserHydrator
from infra.errors import LabError
from infra.evaluation.drill import BROKEN, Drill
from infra.evaluation.shares import Judgement
from infra.settings import Settings
from lab.drills.faults import SwitchedFaults
from lab.drills.load import Load
from lab.drills.report import write_report
from lab.drills.run import DrillRun, run_drill
from tests.support.tries import Inconclusive, conclusive
from tests.support.waiting import PATIENCE_S, until

HOLDS, BAD = Judgement.HOLDS, Judgement.BROKEN
QUICK = replace(DRILLS[0], rate_per_s=60.0, requests=150)
"""Enough requests to see whether the drill holds, too few to prove a share of 0.999."""


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings), host="127.0.0.1", port=port, log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{port}"
    until(lambda: server.started, "the server")
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)


def drilled(url: str, drill: Drill, faults: Any = None) -> DrillRun:
    load = Load(url, "/v1/feed", "slate", lambda number: {"user_id": number % 500, "k": 10}, drill.rate_per_s)
    return run_drill(drill, load, faults or SwitchedFaults([url]), "embedded", lambda *_: None, lambda: [os.getpid()])


def active(url: str) -> list[str]:
    return [row["fault"] for row in httpx.get(f"{url}/v1/faults").json() if row["active"]]


@pytest.fixture(scope="module")
def url(settings: Settings) -> Iterator[str]:
    with served(settings) as found:
        yield found


def judged(url: str) -> DrillRun:
    """Run a drill. Raises `Inconclusive` if a time is past its limit, because a slow machine causes that too: the
    service and the load share this process."""
    run = drilled(url, QUICK)
    late = [one for one in run.verdicts if one.probe.unit and one.value is not None and one.judgement is not HOLDS]
    if late or run.judgement is Judgement.INCONCLUSIVE:
        raise Inconclusive(f"{late} {run.conditions}")
    return run


@pytest.mark.timing
def test_drill_holds_and_writes_a_report(url: str, tmp_path: Path) -> None:
    run = conclusive(lambda: judged(url), "a drill")
    missed = [vars(one) for one in run.verdicts if one.judgement not in (HOLDS, Judgement.TOO_FEW)]
    assert run.judgement in (HOLDS, Judgement.TOO_FEW), missed
    assert active(url) == []
    page = write_report(tmp_path, run, []).read_text()
    assert "too few requests" in page, "150 requests cannot prove a share of 0.999"
    assert "CPU of other programs" in page
    assert "<svg" in page
    assert "http" not in page.replace(url, "").replace("http://www.w3.org", ""), (
        "the report loads no external resources"
    )
    journal = json.loads((tmp_path / "journal.json").read_text())
    assert journal["judgement"] == run.judgement
    assert sum(row["degraded"] for row in journal["seconds"]) >= QUICK.requests


def test_drill_fails_without_the_fallback(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_fallback(self: UserHydrator, query: object, cause: Exception) -> object:
        raise RuntimeError("there is no fallback") from cause

    monkeypatch.setattr(UserHydrator, "fallback", no_fallback)
    with served(settings) as url:
        run = drilled(url, QUICK)
    wrong = {(verdict.phase, verdict.probe.figure) for verdict in run.verdicts if verdict.judgement is BAD}
    assert (BROKEN, "success_share") in wrong


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), LabError("the engine is gone")])
def test_aborted_drill_removes_its_fault(url: str, stop: BaseException) -> None:
    class Cut(SwitchedFaults):
        def inject(self, method: Any) -> None:
            super().inject(method)
            raise stop

    run = drilled(url, replace(QUICK, requests=20), Cut([url]))
    assert run.aborted
    assert run.is_cleared
    assert not run.holds
    assert active(url) == []


def test_drill_reports_a_fault_that_it_cannot_remove(url: str) -> None:
    class Lost(SwitchedFaults):
        def clear(self, method: Any) -> None:
            raise LabError("the engine is gone")

    run = drilled(url, replace(QUICK, requests=20), Lost([url]))
    assert not run.is_cleared
    assert "could not be cleared: the engine is gone" in run.aborted
    SwitchedFaults([url]).clear(QUICK.method)
    assert active(url) == []
