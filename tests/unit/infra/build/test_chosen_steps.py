"""A build runs chosen optional steps, steps whose server lost its output, and steps with a new cut of the live log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from infra.build.current import is_built
from infra.build.fingerprints import choose_option, chosen_steps, fingerprints
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


def test_build_skips_an_optional_step_that_was_not_chosen(settings: Settings, root: Path) -> None:
    runs = build(WITH_OPTION, settings)
    assert ran(runs) == "abd"
    assert (runs[-1].path / "d.txt").read_text() == "a"
    assert set(current(settings)) == {"a", "b", "d"}
    assert not (root / "x").exists()
    assert is_built(WITH_OPTION, settings)


def test_build_runs_a_chosen_optional_step_and_only_its_readers(settings: Settings) -> None:
    build(WITH_OPTION, settings)
    choose_option(WITH_OPTION, settings, "extra", chosen=True)
    assert not is_built(WITH_OPTION, settings)
    runs = build(WITH_OPTION, settings)
    assert ran(runs) == "xd"
    assert (runs[-1].path / "d.txt").read_text() == "a x"
    assert set(current(settings)) == {"a", "x", "b", "d"}
    assert is_built(WITH_OPTION, settings)


def test_chosen_option_persists_until_it_is_revoked(settings: Settings) -> None:
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


def test_chosen_option_applies_to_one_preset_and_one_home(settings: Settings, tmp_path: Path) -> None:
    choose_option(WITH_OPTION, settings, "extra", chosen=True)
    for other in (Settings(home=tmp_path, preset="small"), Settings(home=tmp_path / "other", preset="smoke")):
        assert EXTRA not in chosen_steps(WITH_OPTION, other)
    assert EXTRA in chosen_steps(WITH_OPTION, settings)


def test_options_are_chosen_independently(settings: Settings) -> None:
    more = replace(EXTRA, name="y", option="more")
    design = tiny_design(DESIGN.steps[0], EXTRA, more)
    choose_option(design, settings, "extra", chosen=True)
    choose_option(design, settings, "more", chosen=True)
    assert [step.name for step in chosen_steps(design, settings)] == ["a", "x", "y"]
    choose_option(design, settings, "extra", chosen=False)
    assert [step.name for step in chosen_steps(design, settings)] == ["a", "y"]


@pytest.mark.parametrize("chosen", [True, False])
def test_choose_option_rejects_an_unknown_option(settings: Settings, root: Path, chosen: bool) -> None:
    for design in (DESIGN, WITH_OPTION):
        with pytest.raises(UsageError, match="tiny has no optional step naive"):
            choose_option(design, settings, "naive", chosen=chosen)
    assert not root.exists(), "a rejected option writes nothing"


def test_build_rejects_from_step_at_an_optional_step_that_was_not_chosen(settings: Settings) -> None:
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
    assert first[1].path.exists(), "the output in use stays"


def test_build_uses_local_outputs_when_the_server_does_not_answer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(output: Path, settings: Settings) -> bool:
        raise DependencyError("no answer")

    notes = Notes()
    build(WATCHED, settings)
    monkeypatch.setattr(f"{__name__}.still_there", silent)
    assert ran(build(WATCHED, settings, observer=notes)) == ""
    assert notes.texts == ["b: no answer; using the local outputs"]


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


def test_build_takes_a_new_cut_and_new_data_alone_leaves_the_build_current(settings: Settings, root: Path) -> None:
    assert ran(build(CUTTING, settings)) == "abc"
    assert ran(build(CUTTING, settings)) == ""
    (settings.home / "outside.txt").write_text("one")
    assert is_built(CUTTING, settings), "new data alone does not make the build stale"
    runs = build(CUTTING, settings)
    assert ran(runs) == "bc"
    assert (runs[2].path / "c.txt").read_text() == "b one c"
    assert ran(build(CUTTING, settings)) == ""
    (settings.home / "outside.txt").unlink()
    assert ran(build(CUTTING, settings)) == "", "the data of the previous cut still exists"


def test_empty_cut_has_the_same_fingerprint_as_no_cut(settings: Settings) -> None:
    never = fingerprints(CUTTING, settings)
    build(CUTTING, settings)
    assert fingerprints(CUTTING, settings) == never


def test_step_reads_the_cut_taken_at_the_start_of_the_build(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(context: StepContext) -> None:
        (context.out / "a.txt").write_text("a")
        (settings.home / "outside.txt").write_text("two")

    (settings.home / "outside.txt").write_text("one")
    monkeypatch.setattr("tests.support.tiny_steps.make_a", busy)
    assert (build(CUTTING, settings)[1].path / "b.txt").read_text() == "b one"
    assert (build(CUTTING, settings)[1].path / "b.txt").read_text() == "b two"


def test_steps_before_from_step_and_variants_keep_their_cut(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(CUTTING, settings)
    (settings.home / "outside.txt").write_text("one")
    assert ran(build(CUTTING, settings, from_step="c")) == "c"
    monkeypatch.setitem(PRESETS, "smoke", TinyConfig(a=First(size=4)))
    assert (build(CUTTING, settings, turned={"share": 0.25})[1].path / "b.txt").read_text() == "b"
    assert ran(build(CUTTING, settings, from_step="b")) == "bc"
    assert (build(CUTTING, settings)[1].path / "b.txt").read_text() == "b one"
