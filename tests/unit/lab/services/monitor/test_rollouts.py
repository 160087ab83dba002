"""The monitor moves rollouts on in a child, takes a bad challenger back itself, and leaves them to one monitor."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from infra.registry.aliases import SEEN
from infra.registry.rollout import Lease, Rollout, Stage, read_rollout, write_rollout
from infra.serving.release_tally import FOLDER
from infra.settings import Settings
from lab.services.monitor import rollouts as module
from lab.services.monitor.rollouts import Rollouts
from tests.support.tiny import tiny_design
from tests.support.tiny_steps import DESIGN as STEPS

DESIGN = tiny_design(*STEPS.steps, config="tests.support.tiny:ROLLING")
DIGEST = "bb" * 32


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, preset="smoke")


@pytest.fixture
def root(settings: Settings) -> Path:
    return settings.design_root("tiny")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file to which each child appends its arguments. A child then runs until the file `ends` is there, which has
    its exit code."""
    found, ends, program = tmp_path / "calls", tmp_path / "ends", tmp_path / "program"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys, time\n"
        f"open({str(found)!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))\n"
        f"while not os.path.exists({str(ends)!r}): time.sleep(0.01)\n"
        f"print('a message', file=sys.stderr)\nsys.exit(int(open({str(ends)!r}).read()))\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(program))
    return found


def end_child(rollouts: Rollouts, calls: Path, code: int = 0) -> None:
    """Let the child that runs end."""
    wait_for_calls(calls, 1)
    (calls.parent / "ends").write_text(str(code))
    rollouts._children["tiny"].process.wait(30)
    (calls.parent / "ends").unlink()


def wait_for_calls(calls: Path, number: int) -> None:
    until = time.monotonic() + 30
    while count(calls) < number:
        assert time.monotonic() < until
        time.sleep(0.01)


def begin(root: Path, stage: Stage = "canary") -> None:
    state = Rollout(stage=stage, share=0.2, version=2, digest=DIGEST, before=1)
    assert write_rollout(root, read_rollout(root), state) is not None


def count(calls: Path) -> int:
    return len(calls.read_text().splitlines()) if calls.exists() else 0


def test_one_child_follows_a_running_rollout(settings: Settings, root: Path, calls: Path) -> None:
    rollouts = Rollouts([DESIGN], settings, pause_s=0.0)
    rollouts.look()
    assert not rollouts._children, "there is no rollout"
    begin(root)
    rollouts.look()
    rollouts.look()
    wait_for_calls(calls, 1)
    assert calls.read_text() == "-m lab rollout tiny --follow\n"
    end_child(rollouts, calls)
    rollouts.look()
    wait_for_calls(calls, 2)
    end_child(rollouts, calls)


def test_child_that_failed_is_logged_and_followed_by_another_one_later(
    settings: Settings, root: Path, calls: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begin(root)
    rollouts = Rollouts([DESIGN], settings, pause_s=0.0)
    rollouts.look()
    end_child(rollouts, calls, code=5)
    rollouts.look()
    assert not rollouts._children
    assert "lab rollout tiny --follow ended with 5: a message" in caplog.text
    rollouts._next.clear()
    rollouts.look()
    wait_for_calls(calls, 2)
    end_child(rollouts, calls)


def test_child_that_runs_too_long_is_killed(
    settings: Settings, root: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(root)
    rollouts = Rollouts([DESIGN], settings)
    rollouts.look()
    child = rollouts._children["tiny"].process
    monkeypatch.setattr(module, "LONGEST_S", 0.0)
    rollouts.look()  # it may see the end of the child already
    assert child.wait(30) < 0


def test_child_tells_the_registry_of_an_ended_rollout_and_then_rests(
    settings: Settings, root: Path, calls: Path
) -> None:
    begin(root, "stopped")
    rollouts = Rollouts([DESIGN], settings, pause_s=0.0)
    rollouts.look()
    end_child(rollouts, calls)
    (root / FOLDER).mkdir(exist_ok=True)
    (root / FOLDER / SEEN).write_text(json.dumps({"number": read_rollout(root).number}))
    rollouts.look()
    assert not rollouts._children


def test_design_that_fails_does_not_stop_the_others(
    settings: Settings, root: Path, calls: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begin(root)
    broken = settings.design_root("broken")
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_text("a file where the folder of a design should be")
    rollouts = Rollouts([replace(DESIGN, name="broken"), DESIGN], settings)
    rollouts.look()
    assert "cannot move the rollout of broken on" in caplog.text
    end_child(rollouts, calls)


def test_monitor_without_the_lease_does_nothing(settings: Settings, root: Path, calls: Path) -> None:
    begin(root)
    other = Lease(root)
    assert other.take()
    rollouts = Rollouts([DESIGN], settings)
    rollouts.look()
    assert not rollouts._children
    other.give_back()
    rollouts.look()
    end_child(rollouts, calls)


def test_bad_challenger_is_taken_back_without_waiting_for_a_child(settings: Settings, root: Path, calls: Path) -> None:
    begin(root)
    counts = {"ok": 0, "degraded": 0, "shed": 0, "failed": 50, "slow": 0}
    content = {"digest": DIGEST, "models": {"tiny-smoke/2": counts}, "shadow": {}, "error": ""}
    (root / FOLDER).mkdir(exist_ok=True)
    (root / FOLDER / "replica-a.json").write_text(json.dumps(content))
    rollouts = Rollouts([DESIGN], settings)
    rollouts._next["tiny"] = float("inf")
    rollouts.look()
    assert read_rollout(root).stage == "rolled back"
    end_child(rollouts, calls)  # it sets the aliases at once


def test_thread_ends_with_the_block_and_gives_the_lease_back(settings: Settings, root: Path, calls: Path) -> None:
    begin(root)
    with Rollouts([DESIGN], settings, look_s=0.01) as rollouts:
        while count(calls) == 0:
            rollouts._stop.wait(0.01)
    assert not rollouts._thread.is_alive()
    assert Lease(root).take()
