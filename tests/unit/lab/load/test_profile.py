"""A profile of a real process, and what a learner reads when it cannot be taken."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.errors import LabError
from lab.load.profile import ProcessProfile, profiled
from lab.load.stacks import read_stacks, samples_by_function

SPINS = """
from lab.services.traceable import let_own_user_read_stacks
def spin():
    while True: sum(range(1000))
let_own_user_read_stacks()
print("ready", flush=True)
spin()
"""


@pytest.fixture
def spinning() -> Iterator[int]:
    process = subprocess.Popen([sys.executable, "-c", SPINS], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    yield process.pid
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.skipif(sys.platform == "darwin", reason="only root may read the stacks of another process")
def test_running_function_is_found_and_its_cpu_time_measured(spinning: int, tmp_path: Path) -> None:
    with profiled({"spinning": spinning}, tmp_path) as profiles:
        time.sleep(1.5)
    (found,) = profiles
    assert found.cpu_s > 0
    (function, samples), *_ = samples_by_function(found.stacks).most_common(1)
    assert function.startswith("spin ")
    assert samples > 0.8 * found.stacks.total()


def test_process_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    refused = pytest.raises(LabError, match=f"could not sample gone .process {ended.pid}")
    with refused as found, profiled({"gone": ended.pid}, tmp_path):
        pytest.fail("the block must not run")
    assert "py-spy says: " in (found.value.hint or "")


def test_missing_program_is_named_with_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.load.profile.PY_SPY", tmp_path / "py-spy")
    refused = pytest.raises(LabError, match="py-spy is not installed")
    with refused as found, profiled({"any": 1}, tmp_path):
        pytest.fail("the block must not run")
    assert "make up" in (found.value.hint or "")


def test_cpu_time_is_shared_out_by_samples() -> None:
    stacks = read_stacks(["main (a.py:1) 30", "main (a.py:1);work (b.py:2) 70"])
    profile = ProcessProfile("service", cpu_s=2.0, stacks=stacks)
    assert profile.cpu_ms(70, requests=100) == pytest.approx(14.0)
    assert ProcessProfile("idle", cpu_s=0.0, stacks=Counter()).cpu_ms(0, requests=0) == 0.0
