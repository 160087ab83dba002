"""The learning loop of the feed with simulated users: a model that the gate stops, one that its users stop, and a
shift of the world that leads, untouched, to a new champion.

The broker is killed after the shift, and the monitor in the shadow and in the canary.

`make loop-test` runs these tests, in this order and in one lab. They take about ten minutes, because windows of the
log are a minute long. The first two tests run while the reference windows of the drift monitor pass. How many windows
a drift takes is a figure of `lab bench loop`, and a test on simulated windows (`test_simulated_shifts.py`): here it
depends on how busy the machine is.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.evaluation.gate import GateRefused
from infra.registry.release import Release, read_release
from infra.registry.rollout import read_rollout
from infra.settings import REPOSITORY, Settings
from infra.telemetry.drift.status import read_status
from infra.telemetry.timeline import Entry, read
from tests.e2e.conftest import LAB, Lab, run_lab
from tests.loop.conftest import LOOP_HOME

RATE = "15"
PATIENCE_S, TRIES = 900.0, 3
"""How long something may take, and how often a retraining is tried that the gate refuses by chance: with few fresh
rows, two trainings on nearly the same rows can differ surely."""
WINDOWS_BEFORE = 4
"""three windows of the reference, and one that is compared with it"""
SETTINGS = Settings(home=LOOP_HOME, preset="smoke")
ROOT = SETTINGS.design_root("feed_ranking")


@pytest.fixture(scope="module")
def lab(retraining_lab: Lab) -> Iterator[Lab]:
    """The lab with simulated users. At the end, no request has failed and no event was lost."""
    command = [LAB, "live", retraining_lab.design, "--rate", RATE, "--json"]
    process = subprocess.Popen(
        command,
        env=retraining_lab.environment,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield retraining_lab
    finally:
        process.terminate()
        printed, messages = process.communicate(timeout=120)
    assert printed, messages
    counts = json.loads(printed)["counts"]
    assert (counts["failed"], counts["events_given_up"]) == (0, 0)


def timeline(lab: Lab, *kinds: str) -> list[Entry]:
    """These kinds of entries, without a process for each look."""
    return [entry for entry in read(SETTINGS, lab.design) if entry.kind in kinds]


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    ends = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < ends, f"timed out: {what}"
        time.sleep(3.0)
    return found


def retrained(lab: Lab) -> str:
    """The verdict of the gate on a retraining."""
    done = run_lab("retrain", lab.design, "--enough-rows", "1", environment=lab.environment)
    assert done.returncode in (0, GateRefused.exit_code), done.stdout + done.stderr
    return timeline(lab, "gate")[-1].text


def kill(lab: Lab, service: str) -> None:
    """Kill a process of the lab. Its supervisor starts it again."""
    os.kill(lab.pid_of(service), signal.SIGKILL)


def served() -> Release:
    return read_release(ROOT)


@pytest.mark.timeout(900)
def test_model_of_shuffled_labels_is_stopped_at_the_gate(lab: Lab) -> None:
    before = served()
    wait_for(lambda: lab.run("retrain", lab.design, "--check", "--json", parse=True)["new_rows"] > 0, "rows")
    lab.run("plant", lab.design, "labels")
    try:
        lab.run("retrain", lab.design, "--enough-rows", "1", code=3)
    finally:
        lab.run("plant", lab.design, "--clear")
    assert "is refused" in timeline(lab, "gate")[-1].text
    assert (served(), read_rollout(ROOT).stage) == (before, "none")


@pytest.mark.timeout(900)
def test_model_that_passes_the_gate_and_is_worse_for_its_users_is_rolled_back(lab: Lab) -> None:
    """The gate compares predicted clicks. A wrong label of the dwell does not change these; it changes the ranking."""
    before = served()
    lab.run("plant", lab.design, "dwell")
    try:
        for _ in range(TRIES):
            verdict = retrained(lab)
            if read_rollout(ROOT).is_active:
                break
    finally:
        lab.run("plant", lab.design, "--clear")
    assert "passes" in verdict
    bad = read_rollout(ROOT)
    assert bad.is_active
    wait_for(lambda: not read_rollout(ROOT).is_active, "the end of the rollout")
    rollout = read_rollout(ROOT)
    assert rollout.stage == "rolled back", rollout.reason
    assert "surely worse" in rollout.reason or "looks worse" in rollout.reason
    assert bad.digest in rollout.rejected
    assert served() == before
    assert timeline(lab, "canary", "rollback")[-1].kind == "rollback"
    assert timeline(lab, "canary"), "users saw it, and their sessions told"


@pytest.mark.timeout(2400)
def test_shift_of_the_world_leads_to_a_new_champion(lab: Lab, tmp_path: Path) -> None:
    wait_for(lambda: read_status(ROOT).windows >= WINDOWS_BEFORE, "windows before the shift")
    assert timeline(lab, "drift") == [], "no drift without a shift"
    first = served().model_version
    gates, retrainings, shadows = (len(timeline(lab, kind)) for kind in ("gate", "retraining", "shadow"))
    lab.run("world", "shift", lab.design)
    kill(lab, "stream")

    drift = wait_for(lambda: timeline(lab, "drift"), "the drift")[0]
    assert "calibration" in drift.text
    retraining = wait_for(lambda: timeline(lab, "retraining")[retrainings:], "a retraining")[0]
    assert "the model has drifted" in retraining.text
    verdict = wait_for(lambda: timeline(lab, "gate")[gates:], "the verdict of the gate")[0]
    if "is refused" in verdict.text:
        assert served().model_version == first, "a refused model does not serve"
        pytest.skip(f"the new model did not pass: {verdict.text}")
    wait_for(lambda: timeline(lab, "shadow")[shadows:], "the rollout")
    kill(lab, "monitor")
    canaries = len(timeline(lab, "canary"))
    wait_for(lambda: timeline(lab, "canary")[canaries:] or not read_rollout(ROOT).is_active, "the first canary")
    kill(lab, "monitor")
    wait_for(lambda: not read_rollout(ROOT).is_active, "the end of the rollout")
    ended = read_rollout(ROOT)
    if "looks worse" in ended.reason:
        pytest.skip(f"its users did better with the old model, maybe by chance: {ended.reason}")
    assert ended.stage == "promoted", ended.reason
    assert served().model_version == ended.version > first
    kinds = [entry.kind for entry in timeline(lab, "shift", "retraining", "shadow", "canary", "promotion")]
    assert kinds[-6:] == ["shift", "retraining", "shadow", "canary", "canary", "promotion"]
    told = [row["kind"] for row in lab.run("timeline", lab.design, "--json", parse=True)]
    assert told == [entry.kind for entry in read(SETTINGS, lab.design)]
    page = tmp_path / "timeline.html"
    lab.run("timeline", lab.design, "--html", str(page))
    assert f"model version {ended.version} is the champion" in page.read_text()
    assert lab.run("ask", lab.design, "--json", parse=True)["model_version"].endswith(f"/{ended.version}")
