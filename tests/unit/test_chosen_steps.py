"""Which steps a build runs beyond what changed: those that were chosen, and those whose server lost their output."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.errors import DependencyError, UsageError
from infra.pipeline.outputs import choose_option, chosen_steps, is_built
from infra.pipeline.steps import StepObserver, build
from infra.settings import Settings
from tests.unit.tiny import tiny_design
from tests.unit.tiny_steps import DESIGN, EXTRA, WITH_OPTION, current, ran


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, preset="smoke")


@pytest.fixture
def root(settings: Settings) -> Path:
    return settings.design_root("tiny") / "steps"


def test_an_optional_step_is_left_out_and_those_after_it_do_without_its_output(settings: Settings, root: Path) -> None:
    runs = build(WITH_OPTION, settings)
    assert ran(runs) == "abd"
    assert (runs[-1].path / "d.txt").read_text() == "a"
    assert set(current(settings)) == {"a", "b", "d"}
    assert not (root / "x").exists()
    assert is_built(WITH_OPTION, settings)


def test_an_optional_step_that_was_chosen_runs_with_those_that_read_it_and_no_others(settings: Settings) -> None:
    build(WITH_OPTION, settings)
    choose_option(WITH_OPTION, settings, "extra", chosen=True)
    assert not is_built(WITH_OPTION, settings)
    runs = build(WITH_OPTION, settings)
    assert ran(runs) == "xd"
    assert (runs[-1].path / "d.txt").read_text() == "a x"
    assert set(current(settings)) == {"a", "x", "b", "d"}
    assert is_built(WITH_OPTION, settings)


def test_a_choice_is_remembered_until_it_is_taken_back(settings: Settings) -> None:
    choose_option(WITH_OPTION, settings, "extra", chosen=True)
    choose_option(WITH_OPTION, settings, "extra", chosen=True)
    assert ran(build(WITH_OPTION, settings)) == "axbd"
    assert [run.name for run in build(WITH_OPTION, settings)] == ["a", "x", "b", "d"]
    assert ran(build(WITH_OPTION, settings, from_step="x")) == "xbd"
    choose_option(WITH_OPTION, settings, "extra", chosen=False)
    runs = build(WITH_OPTION, settings)
    assert [run.name for run in runs] == ["a", "b", "d"]
    assert (runs[-1].path / "d.txt").read_text() == "a"
    assert set(current(settings)) == {"a", "b", "d"}


def test_a_choice_holds_for_one_preset_and_one_home(settings: Settings, tmp_path: Path) -> None:
    choose_option(WITH_OPTION, settings, "extra", chosen=True)
    for other in (Settings(home=tmp_path, preset="small"), Settings(home=tmp_path / "other", preset="smoke")):
        assert EXTRA not in chosen_steps(WITH_OPTION, other)
    assert EXTRA in chosen_steps(WITH_OPTION, settings)


def test_each_option_is_chosen_by_itself(settings: Settings) -> None:
    more = replace(EXTRA, name="y", option="more")
    design = tiny_design(DESIGN.steps[0], EXTRA, more)
    choose_option(design, settings, "extra", chosen=True)
    choose_option(design, settings, "more", chosen=True)
    assert [step.name for step in chosen_steps(design, settings)] == ["a", "x", "y"]
    choose_option(design, settings, "extra", chosen=False)
    assert [step.name for step in chosen_steps(design, settings)] == ["a", "y"]


@pytest.mark.parametrize("chosen", [True, False])
def test_an_option_that_no_step_has_is_refused(settings: Settings, root: Path, chosen: bool) -> None:
    for design in (DESIGN, WITH_OPTION):
        with pytest.raises(UsageError, match="tiny has no optional step naive"):
            choose_option(design, settings, "naive", chosen=chosen)
    assert not root.exists(), "nothing is remembered"


def test_a_build_cannot_begin_at_an_optional_step_that_was_not_chosen(settings: Settings) -> None:
    with pytest.raises(UsageError, match="'x'"):
        build(WITH_OPTION, settings, from_step="x")


WATCHED = tiny_design(DESIGN.steps[0], replace(DESIGN.steps[1], still_there=f"{__name__}:still_there"), DESIGN.steps[2])


def still_there(output: Path, settings: Settings) -> bool:
    return (output / "b.txt").exists()


class Notes(StepObserver):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def noticed(self, text: str) -> None:
        self.texts.append(text)


def test_a_step_whose_server_lost_what_it_wrote_runs_again_with_those_after_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, notes = build(WATCHED, settings), Notes()
    assert ran(build(WATCHED, settings, observer=notes)) == ""
    assert notes.texts == []
    monkeypatch.setattr(f"{__name__}.still_there", lambda output, settings: output != first[1].path)
    assert ran(build(WATCHED, settings, observer=notes)) == "bc"
    assert notes.texts == ["b: what it wrote is gone from its server; making it again"]
    assert ran(build(WATCHED, settings)) == ""
    assert first[1].path.exists(), "what is served until now stays"


def test_a_server_that_does_not_answer_cannot_tell(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(output: Path, settings: Settings) -> bool:
        raise DependencyError("nobody answers")

    notes = Notes()
    build(WATCHED, settings)
    monkeypatch.setattr(f"{__name__}.still_there", silent)
    assert ran(build(WATCHED, settings, observer=notes)) == ""
    assert notes.texts == ["b: nobody answers; going by what is here"]
