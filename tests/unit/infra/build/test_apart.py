"""Steps that run apart share a child process, and fail like steps of the build's own process."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from infra.build.fingerprints import step_paths
from infra.build.runner import StepObserver, build
from infra.design import Design, Step
from infra.errors import DataRejected, LabError
from infra.settings import Settings
from tests.support.tiny import tiny_design


def step(name: str, function: str, *, apart: bool = True) -> Step:
    return Step(name, f"tests.support.apart_steps:{function}", name, (), apart=apart)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, preset="smoke")


class Heard(StepObserver):
    def __init__(self) -> None:
        self.told: list[tuple[float, str]] = []

    def progress(self, share: float, text: str) -> None:
        self.told.append((share, text))


def test_consecutive_steps_share_a_child_and_later_ones_run_in_the_build(settings: Settings) -> None:
    design, heard = (
        tiny_design(step("a", "tell_process"), step("b", "tell_process"), step("c", "tell_process", apart=False)),
        Heard(),
    )
    first, second, third = build(design, settings, observer=heard)
    assert first.facts == second.facts
    assert first.facts["pid"] != os.getpid() == third.facts["pid"]
    assert not psutil.pid_exists(int(first.facts["pid"]))
    assert heard.told == [(0.5, "half")] * 3
    assert first.peak_mb > 0
    assert [run.skipped for run in build(design, settings)] == [True] * 3


def test_child_writes_nothing_to_the_standard_output_of_the_build(
    settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    (run,) = build(tiny_design(step("a", "speak")), settings)
    assert run.facts == {"has_main_file": 1}
    said = capfd.readouterr()
    assert "progress bar" in said.err
    assert said.out == ""


def broken(settings: Settings, design: Design, expected: type[Exception]) -> Exception:
    with pytest.raises(expected) as caught:
        build(design, settings)
    path = step_paths(design, settings)["a"]
    assert not path.exists()
    assert not path.with_suffix(".partial").exists()
    return caught.value


def test_error_of_a_step_in_a_child_keeps_its_class_and_hint(settings: Settings) -> None:
    error = broken(settings, tiny_design(step("a", "reject")), DataRejected)
    assert (str(error), error.hint) == ("rows without a user", "look at the report")  # type: ignore[attr-defined]
    assert "apart_steps.py" in error.__notes__[0]


def test_error_that_cannot_be_pickled_is_told_with_its_traceback(settings: Settings) -> None:
    error = broken(settings, tiny_design(step("a", "fail_strangely")), LabError)
    assert str(error) == "Unpicklable: two arguments"
    assert "fail_strangely" in error.hint  # type: ignore[attr-defined]


def test_child_that_is_killed_fails_the_build_with_a_hint(settings: Settings) -> None:
    error = broken(settings, tiny_design(step("a", "die")), LabError)
    assert "killed" in str(error)
