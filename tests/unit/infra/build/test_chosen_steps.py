"""Which steps a build runs beyond what changed: those that were chosen, whose server lost their output, or that read
what others went on writing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.build.fingerprints import choose_option, chosen_steps, fingerprints, is_built
from infra.build.runner import StepContext, StepObserver, build
from infra.errors import DependencyError, UsageError
from infra.settings import Settings
from tests.support.tiny import PRESETS, First, TinyConfig, tiny_design
from tests.support.tiny_steps import DESIGN, EXTRA, WITH_OPTION, current, ran


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


def test_step_with_lost_server_output_reruns_with_its_successors(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, notes = build(WATCHED, settings), Notes()
    assert ran(build(WATCHED, settings, observer=notes)) == ""
    assert notes.texts == []
    monkeypatch.setattr(f"{__name__}.still_there", lambda output, settings: output != first[1].path)
    assert ran(build(WATCHED, settings, observer=notes)) == "bc"
    assert notes.texts == ["b: a server has lost the output of this step; running the step again"]
    assert ran(build(WATCHED, settings)) == ""
    assert first[1].path.exists(), "what is served until now stays"


def test_a_server_that_does_not_answer_cannot_tell(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(output: Path, settings: Settings) -> bool:
        raise DependencyError("nobody answers")

    notes = Notes()
    build(WATCHED, settings)
    monkeypatch.setattr(f"{__name__}.still_there", silent)
    assert ran(build(WATCHED, settings, observer=notes)) == ""
    assert notes.texts == ["b: nobody answers; using the local outputs"]


CUTTING = tiny_design(
    DESIGN.steps[0],
    replace(DESIGN.steps[1], target=f"{__name__}:make_b", cut=f"{__name__}:cut_of"),
    DESIGN.steps[2],
)


def cut_of(settings: Settings) -> str:
    outside = settings.home / "outside.txt"
    return outside.read_text() if outside.exists() else ""


def make_b(context: StepContext) -> None:
    (context.out / "b.txt").write_text(f"b {context.cut}".strip())


def test_a_build_takes_a_new_cut_of_what_others_wrote_and_until_then_nothing_is_out_of_date(
    settings: Settings, root: Path
) -> None:
    assert ran(build(CUTTING, settings)) == "abc"
    assert ran(build(CUTTING, settings)) == ""
    (settings.home / "outside.txt").write_text("one")
    assert is_built(CUTTING, settings), "using it is no reason to build"
    runs = build(CUTTING, settings)
    assert ran(runs) == "bc"
    assert (runs[2].path / "c.txt").read_text() == "b one c"
    assert ran(build(CUTTING, settings)) == ""
    (settings.home / "outside.txt").unlink()
    assert ran(build(CUTTING, settings)) == "", "what it read before is there still"


def test_a_cut_of_nothing_is_the_same_as_none_that_was_ever_taken(settings: Settings) -> None:
    never = fingerprints(CUTTING, settings)
    build(CUTTING, settings)
    assert fingerprints(CUTTING, settings) == never


def test_a_step_reads_the_cut_that_was_taken_when_the_build_began(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(context: StepContext) -> None:
        (context.out / "a.txt").write_text("a")
        (settings.home / "outside.txt").write_text("two")

    (settings.home / "outside.txt").write_text("one")
    monkeypatch.setattr("tests.support.tiny_steps.make_a", busy)
    assert (build(CUTTING, settings)[1].path / "b.txt").read_text() == "b one"
    assert (build(CUTTING, settings)[1].path / "b.txt").read_text() == "b two"


def test_steps_before_the_one_where_a_build_begins_keep_their_cut_and_so_does_a_variant(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(CUTTING, settings)
    (settings.home / "outside.txt").write_text("one")
    assert ran(build(CUTTING, settings, from_step="c")) == "c"
    monkeypatch.setitem(PRESETS, "smoke", TinyConfig(a=First(size=4)))
    assert (build(CUTTING, settings, turned={"share": 0.25})[1].path / "b.txt").read_text() == "b"
    assert ran(build(CUTTING, settings, from_step="b")) == "bc"
    assert (build(CUTTING, settings)[1].path / "b.txt").read_text() == "b one"
