"""The learning loop of the feed, untouched: the world shifts, the monitor notices, retrains, and a release serves.

`make loop-test` runs this test. It takes about eight minutes, because windows of the log are a minute long.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from infra.settings import REPOSITORY
from tests.e2e.conftest import LAB, Lab

RATE = "6"
PATIENCE_S = 600.0
WINDOWS_BEFORE = 4
"""three windows of the reference, and one that is compared with it"""
MOST_WINDOWS = 3
"""windows after a shift within which the monitor must notice it"""


@contextmanager
def live_traffic(lab: Lab) -> Iterator[dict[str, Any]]:
    """Simulated users; at the end of the block, the yielded dictionary holds what `lab live` reports."""
    command = [LAB, "live", lab.design, "--rate", RATE, "--json"]
    found: dict[str, Any] = {}
    process = subprocess.Popen(
        command, env=lab.environment, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield found
    finally:
        process.terminate()
        printed, messages = process.communicate(timeout=120)
    assert printed, messages
    found |= json.loads(printed)


def timeline(lab: Lab, kind: str) -> list[dict[str, Any]]:
    return [row for row in lab.run("timeline", lab.design, "--json", parse=True) if row["kind"] == kind]


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    ends = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < ends, f"timed out: {what}"
        time.sleep(3.0)
    return found


def windows_of(lab: Lab) -> int:
    return int(lab.run("drift", lab.design, "--no-update", "--json", parse=True)["windows"])


def served_version(lab: Lab) -> int:
    return next(row["version"] for row in lab.run("models", lab.design, "--json", parse=True) if row["serves"])


@pytest.mark.timeout(2400)
def test_a_shift_of_the_world_is_noticed_and_answered_by_a_retraining(retraining_lab: Lab) -> None:
    lab = retraining_lab
    with live_traffic(lab) as report:
        wait_for(lambda: windows_of(lab) >= WINDOWS_BEFORE, "windows before the shift")
        assert timeline(lab, "drift") == [], "no drift without a shift"
        before, first = windows_of(lab), served_version(lab)
        lab.run("world", "shift", lab.design)

        drift = wait_for(lambda: timeline(lab, "drift"), "the drift")[0]
        # windows have numbers from 0, so `before` is the number of the window in which the shift began
        assert drift["facts"]["window"] <= before + MOST_WINDOWS
        assert "calibration" in drift["text"]
        retraining = wait_for(lambda: timeline(lab, "retraining"), "a retraining")[0]
        assert "the model has drifted" in retraining["text"]
        verdict = wait_for(lambda: timeline(lab, "promotion") + timeline(lab, "gate"), "the verdict of the gate")[-1]
        if verdict["kind"] == "promotion":
            wait_for(lambda: served_version(lab) > first, "the new release")
            answer = lab.run("ask", lab.design, "--json", parse=True)
            wait_for(
                lambda: answer["slate"] and not lab.run("drift", lab.design, "--json", parse=True)["is_drifted"],
                "the end of the drift with the release",
            )
        else:
            assert served_version(lab) == first, "a refused model does not serve"
    assert report["counts"]["failed"] == 0
    assert report["counts"]["events_given_up"] == 0
