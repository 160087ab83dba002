"""Steps that run in a child process beside later steps: order of events, failures, and one process where it is wise."""

from __future__ import annotations

import multiprocessing
import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from infra.build import runner
from infra.build.aside import Aside
from infra.build.runner import StepObserver, StepRun, build
from infra.design import Design, Step
from infra.errors import LabError, UsageError
from infra.settings import Settings
from tests.support.tiny import tiny_design
from tests.support.tiny_steps import LATE, ran


class Events(StepObserver):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def started(self, step: Step, index: int, total: int) -> None:
        self.seen.append(f"{step.name} {index + 1}/{total}")

    def finished(self, run: StepRun) -> None:
        self.seen.append(f"{run.name} {'skipped' if run.skipped else 'done'}")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(runner, "IN_ONE_PROCESS", frozenset())
    monkeypatch.setattr(runner, "cores", lambda: 2)
    return Settings(home=tmp_path, preset="smoke")


def with_slow(**changed: object) -> Design:
    return tiny_design(LATE.steps[0], replace(LATE.steps[1], **changed), *LATE.steps[2:])  # type: ignore[arg-type]


def test_step_aside_runs_beside_the_next_one_until_its_output_is_read(settings: Settings) -> None:
    events = Events()
    runs = build(LATE, settings, observer=events)
    assert ran(runs) == "aslowfastend"
    process = {run.name: run.facts.get("process") for run in runs}
    assert process["fast"] == os.getpid() != process["slow"]
    assert (runs[3].path / "end.txt").read_text() == "3"
    assert events.seen == [
        *("a 1/4", "a done", "slow 2/4", "fast 3/4", "fast done", "slow done", "end 4/4", "end done"),
    ]
    assert ran(build(LATE, settings)) == ""


def test_step_aside_ends_before_the_build(settings: Settings) -> None:
    runs = build(tiny_design(*LATE.steps[:3]), settings)
    assert ran(runs) == "aslowfast"
    assert (runs[1].path / "slow.txt").exists()


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [("make_refused", UsageError, "the step refuses"), ("make_killed", LabError, "was killed")],
)
def test_failure_aside_ends_the_build_and_keeps_the_finished_steps(
    settings: Settings, target: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        build(with_slow(target=f"tests.support.tiny_steps:{target}"), settings)
    assert isinstance(caught.value, LabError)
    assert caught.value.hint
    root = settings.design_root("tiny") / "steps"
    assert not list(root.glob("*/*.partial"))
    assert (root / "fast.done").exists()


def test_failure_beside_ends_the_child(settings: Settings) -> None:
    design = tiny_design(*LATE.steps[:2], replace(LATE.steps[2], target="tests.support.tiny_steps:make_refused"))
    with pytest.raises(UsageError, match="the step refuses"):
        build(design, settings)
    assert not list((settings.design_root("tiny") / "steps").glob("slow/*"))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(("cores", "small"), [(1, ()), (2, ("smoke",))])
def test_one_core_or_a_small_world_runs_all_steps_in_this_process(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, cores: int, small: tuple[str, ...]
) -> None:
    monkeypatch.setattr(runner, "cores", lambda: cores)
    monkeypatch.setattr(runner, "IN_ONE_PROCESS", frozenset(small))
    slow = replace(LATE.steps[1], target="tests.support.tiny_steps:make_fast")
    runs = build(tiny_design(LATE.steps[0], slow, LATE.steps[2]), settings)
    assert {run.facts["process"] for run in runs[1:]} == {os.getpid()}


def test_step_aside_whose_output_the_next_one_reads_runs_in_this_process(settings: Settings) -> None:
    slow = replace(LATE.steps[1], target="tests.support.tiny_steps:make_fast")
    fast = replace(LATE.steps[2], after=("a", "slow"))
    assert build(tiny_design(LATE.steps[0], slow, fast), settings)[1].facts["process"] == os.getpid()


def test_work_with_arrays_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        Aside(partial(np.sum, np.ones(10_000)))
