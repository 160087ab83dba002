"""Builds resume after an interruption, skip unchanged steps, and leave no partial outputs."""

from __future__ import annotations

import errno
import fcntl
import os
from dataclasses import replace
from pathlib import Path

import pytest

from infra.build import runner as steps
from infra.build import step_code
from infra.build.current import is_built
from infra.build.fingerprints import step_paths
from infra.build.runner import StepContext, StepObserver, StepRun, build
from infra.design import Design, Step
from infra.errors import Busy, DependencyError, LabError, UsageError
from infra.settings import Settings
from infra.telemetry.timeline import read
from tests.support.tiny import PRESETS, First, Second, TinyConfig, tiny_design
from tests.support.tiny_steps import DESIGN, current, ran


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, preset="smoke")


@pytest.fixture
def root(settings: Settings) -> Path:
    return settings.design_root("tiny") / "steps"


def configure(monkeypatch: pytest.MonkeyPatch, config: TinyConfig) -> None:
    monkeypatch.setitem(PRESETS, "smoke", config)


def directories(root: Path) -> list[str]:
    return sorted(f"{path.parent.name}/{path.suffix}" for path in root.glob("*/*"))


def break_step(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    def broken(context: StepContext) -> None:
        (context.out / "half.txt").write_text("half")
        raise error

    monkeypatch.setattr(f"tests.support.tiny_steps.make_{name}", broken)


def test_first_build_runs_every_step_on_the_outputs_of_earlier_steps(settings: Settings) -> None:
    assert not is_built(DESIGN, settings)
    runs = build(DESIGN, settings)
    assert ran(runs) == "abc"
    assert (runs[2].path / "c.txt").read_text() == "3 b c"
    assert is_built(DESIGN, settings)


def test_second_build_skips_every_step_and_keeps_the_facts(settings: Settings) -> None:
    first = build(DESIGN, settings)
    second = build(DESIGN, settings)
    assert ran(second) == ""
    assert second == [replace(run, skipped=True) for run in first]
    assert second[0].facts == {"size": 3}


def test_changed_configuration_reruns_the_step_and_its_successors(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(DESIGN, settings)
    configure(monkeypatch, TinyConfig(b=Second(share=0.25)))
    assert not is_built(DESIGN, settings)
    assert ran(build(DESIGN, settings)) == "bc"
    configure(monkeypatch, TinyConfig(a=First(size=4), b=Second(share=0.25)))
    runs = build(DESIGN, settings)
    assert ran(runs) == "abc"
    assert (runs[2].path / "c.txt").read_text() == "4 b c"


def test_changed_configuration_without_a_reader_reruns_no_step(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless = tiny_design(replace(DESIGN.steps[0], config=()), *DESIGN.steps[1:])
    build(careless, settings)
    configure(monkeypatch, TinyConfig(a=First(size=4)))
    assert ran(build(careless, settings)) == ""


def test_changed_code_reruns_the_step_and_its_successors(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = copy_steps(tmp_path, monkeypatch)
    design = tiny_design(*(replace(step, target=f"package.{step.name}:make") for step in DESIGN.steps))
    assert ran(build(design, settings)) == "abc"
    (package / "notes.txt").write_text("not code")
    (package / "unused.py").write_text("x = 1")
    assert ran(build(design, settings)) == ""
    (package / "inner" / "deep.py").write_text("x = 2")
    assert ran(build(design, settings)) == "bc", "b imports package.shared, which imports package.inner.deep"
    (package / "shared.py").write_text("from package.inner import other\n")
    (package / "inner" / "deep.py").rename(package / "inner" / "other.py")
    assert ran(build(design, settings)) == "bc"
    (package / "c.py").write_text("from tests.support.tiny_steps import make_c as make\nimport infra.build.runner\n")
    assert ran(build(design, settings)) == "c"


def copy_steps(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in `root` with a module for each of the three steps; b imports two more."""
    monkeypatch.setattr(step_code, "REPOSITORY", root)
    monkeypatch.syspath_prepend(str(root))
    package = root / "package"
    (package / "inner").mkdir(parents=True)
    files = {
        "__init__.py": "",
        "inner/__init__.py": "",
        "inner/deep.py": "x = 1",
        "shared.py": "import package.inner.deep",
    }
    files |= {f"{name}.py": f"from tests.support.tiny_steps import make_{name} as make\n" for name in "abc"}
    files["b.py"] += "from package import shared\n"
    for name, text in files.items():
        (package / name).write_text(text)
    return package


def test_step_with_a_missing_module_raises(settings: Settings) -> None:
    with pytest.raises(DependencyError, match="no_such_module"):
        build(tiny_design(replace(DESIGN.steps[0], target="no_such_module:make")), settings)


@pytest.mark.parametrize(("name", "expected"), [("a", "abc"), ("b", "bc"), ("c", "c")])
def test_from_step_reruns_that_step_and_all_later_steps(settings: Settings, name: str, expected: str) -> None:
    build(DESIGN, settings)
    assert ran(build(DESIGN, settings, from_step=name)) == expected
    assert ran(build(DESIGN, settings)) == "", "from_step applies to one build only"


def test_from_step_reruns_later_steps_that_do_not_depend_on_it(settings: Settings) -> None:
    alone = replace(DESIGN.steps[0], name="alone", after=())
    design = tiny_design(*DESIGN.steps, alone)
    build(design, settings)
    assert ran(build(design, settings, from_step="c")) == "calone"


def test_forced_step_writes_a_new_output_and_keeps_the_old_one_for_one_build(settings: Settings) -> None:
    old = build(DESIGN, settings)[0].path
    (old / "a.txt").write_text("changed by hand")
    new = build(DESIGN, settings, from_step="a")[0].path
    assert (new / "a.txt").read_text() == "3"
    assert (old / "a.txt").read_text() == "changed by hand", "a running service may still read it"
    build(DESIGN, settings, from_step="a")
    assert not old.exists(), "two builds later the old output is removed"


def test_interrupted_forced_build_resumes_at_the_failed_step(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(DESIGN, settings)
    with monkeypatch.context() as patch:
        break_step(patch, "b", KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            build(DESIGN, settings, from_step="a")
    assert ran(build(DESIGN, settings)) == "bc"


def test_build_rejects_an_unknown_from_step_and_runs_nothing(settings: Settings, root: Path) -> None:
    with pytest.raises(UsageError, match="'d'") as caught:
        build(DESIGN, settings, from_step="d")
    assert "a, b, c" in caught.value.hint
    assert not root.exists()


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), DependencyError("down")])
def test_failed_step_leaves_no_output_and_the_next_build_resumes_there(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    with monkeypatch.context() as patch:
        break_step(patch, "b", error)
        with pytest.raises(type(error)):
            build(DESIGN, settings)
    assert directories(root) == ["a/"]
    assert not (settings.design_root("tiny") / "current.json").exists()
    assert ran(build(DESIGN, settings)) == "bc"


def test_failed_forced_step_keeps_the_old_output(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    path = build(DESIGN, settings)[1].path
    break_step(monkeypatch, "b", ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        build(DESIGN, settings, from_step="b")
    assert (path / "b.txt").read_text() == "3 b"


def test_build_removes_partial_outputs_of_a_killed_build(settings: Settings, root: Path) -> None:
    for left_over in (root / "a" / "0123456789ab.partial", step_paths(DESIGN, settings)["b"].with_suffix(".partial")):
        left_over.mkdir(parents=True)
        (left_over / "half.txt").write_text("half")
    runs = build(DESIGN, settings)
    assert directories(root) == ["a/", "b/", "c/"]
    assert not (runs[1].path / "half.txt").exists()


def test_build_without_pending_steps_removes_partial_outputs(settings: Settings, root: Path) -> None:
    build(DESIGN, settings)
    left_over = root / "a" / "0123456789ab.partial"
    left_over.mkdir()
    assert ran(build(DESIGN, settings)) == ""
    assert not left_over.exists()


def test_concurrent_build_is_rejected_and_leaves_the_outputs_intact(settings: Settings, root: Path) -> None:
    root.mkdir(parents=True)
    working = root / "a" / "0123456789ab.partial"
    working.mkdir(parents=True)
    with (root / "build.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="another build"):
            build(DESIGN, settings)
    assert working.exists()
    assert ran(build(DESIGN, settings)) == "abc"


def test_pointer_names_complete_output_directories(settings: Settings) -> None:
    runs = build(DESIGN, settings)
    assert current(settings) == {run.name: str(run.path) for run in runs}
    for path in current(settings).values():
        assert (Path(path) / "step.json").exists()


def test_pointer_keeps_the_last_complete_build_after_a_failure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(DESIGN, settings)
    before = current(settings)
    configure(monkeypatch, TinyConfig(a=First(size=4)))
    break_step(monkeypatch, "c", ValueError("a bug"))
    with pytest.raises(ValueError, match="a bug"):
        build(DESIGN, settings)
    assert current(settings) == before
    assert all((Path(path) / "step.json").exists() for path in before.values())


def test_unchanged_build_does_not_rewrite_the_pointer(settings: Settings) -> None:
    build(DESIGN, settings)
    pointer = settings.design_root("tiny") / "current.json"
    os.utime(pointer, (1, 1))
    build(DESIGN, settings)
    assert pointer.stat().st_mtime == 1


@pytest.mark.parametrize("text", ["", "{", "null"])
def test_build_repairs_an_invalid_pointer(settings: Settings, text: str) -> None:
    runs = build(DESIGN, settings)
    (settings.design_root("tiny") / "current.json").write_text(text)
    build(DESIGN, settings)  # the hint of `read_release` suggests this
    assert current(settings) == {run.name: str(run.path) for run in runs}


def build_sizes(settings: Settings, monkeypatch: pytest.MonkeyPatch, sizes: list[int]) -> list[Path]:
    """Build once per size, with times of their own for the outputs; returns where the first step wrote."""
    paths = []
    for at, size in enumerate(sizes, start=1):
        configure(monkeypatch, TinyConfig(a=First(size=size)))
        run = build(DESIGN, settings)[0]
        if not run.skipped:
            os.utime(run.path, (at, at))
        paths.append(run.path)
    return paths


def test_build_keeps_only_the_current_and_the_previous_output(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = build_sizes(settings, monkeypatch, [1, 2, 3, 4])
    assert sorted((root / "a").iterdir()) == sorted(paths[-2:])


def test_build_keeps_the_previous_output_when_it_reused_an_older_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _, again, last = build_sizes(settings, monkeypatch, [1, 2, 1, 3])
    assert first == again
    assert last.exists()
    assert again.exists(), "a running service may still read it"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_unwritable_disk_raises_an_error_with_path_and_hint(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    break_step(monkeypatch, "b", OSError(code, os.strerror(code)))
    with pytest.raises(LabError) as caught:
        build(DESIGN, settings)
    assert caught.value.hint
    assert str(root) in str(caught.value)
    assert directories(root) == ["a/"]


def test_other_os_errors_are_not_reported_as_disk_errors(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    break_step(monkeypatch, "b", ConnectionRefusedError(errno.ECONNREFUSED, "refused"))
    with pytest.raises(ConnectionRefusedError):
        build(DESIGN, settings)


def test_home_that_is_a_file_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(LabError, match="cannot write"):
        build(DESIGN, Settings(home=tmp_path / "home", preset="smoke"))


def test_build_checks_free_disk_space_before_the_first_step(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "NEEDED_FREE_BYTES", 10**18)
    with pytest.raises(LabError, match="MB free") as caught:
        build(DESIGN, settings)
    assert "LAB_HOME" in caught.value.hint
    assert directories(root) == []


def test_observer_receives_start_progress_and_end_of_every_step(settings: Settings) -> None:
    seen: list[str] = []

    class Observer(StepObserver):
        def started(self, step: Step, index: int, total: int) -> None:
            seen.append(f"{step.name} {index + 1}/{total}")

        def progress(self, share: float, text: str) -> None:
            seen.append(f"{share:.0%} {text}")

        def finished(self, run: StepRun) -> None:
            seen.append(f"{run.name} {'skipped' if run.skipped else 'done'}")

    alone: Design = tiny_design(DESIGN.steps[0])
    build(alone, settings, observer=Observer())
    build(alone, settings, observer=Observer())
    assert seen == ["a 1/1", "50% half", "a done", "a 1/1", "a skipped"]


def test_is_built_is_false_without_a_valid_pointer(settings: Settings) -> None:
    assert not is_built(DESIGN, settings)
    build(DESIGN, settings)
    assert is_built(DESIGN, settings)
    (settings.design_root("tiny") / "current.json").write_text("{")
    assert not is_built(DESIGN, settings)
    build(DESIGN, settings)
    assert is_built(DESIGN, settings)


def test_timeline_tells_each_release_once_and_why_a_retraining_ran(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def released() -> list[tuple[str, str]]:
        return [(entry.kind, entry.text) for entry in read(settings, "tiny")]

    build(DESIGN, settings)
    build(DESIGN, settings)
    ((kind, text),) = released()
    assert (kind, "3 of 3 steps ran" in text) == ("build", True), "a build that changed nothing released nothing"
    configure(monkeypatch, TinyConfig(b=Second(share=0.25)))
    build(DESIGN, settings, reason="20,000 new labelled rows")
    entries = read(settings, "tiny")
    assert released()[1] == ("retraining", "started: 20,000 new labelled rows")
    assert entries[2].facts["steps"] == ["b", "c"]
    assert entries[2].facts["version"] is None
    build(DESIGN, settings, turned={"share": 0.75})
    assert len(released()) == 3, "a variant is not released"


def test_timeline_tells_no_retraining_that_another_build_kept_out(settings: Settings) -> None:
    with steps.only_build(settings.design_root("tiny") / "steps"), pytest.raises(Busy):
        build(DESIGN, settings, reason="20,000 new labelled rows")
    assert read(settings, "tiny") == []


def test_timeline_gets_what_a_step_records_unless_the_build_is_a_variant(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(context: StepContext) -> dict[str, int]:
        context.record("gate", "model version 7 is refused: worse", version=7)
        (context.out / "c.txt").write_text("")
        return {"version": 7}

    monkeypatch.setattr("tests.support.tiny_steps.make_c", told)
    build(DESIGN, settings)
    gate, promotion, release = read(settings, "tiny")
    assert (gate.kind, gate.facts) == ("gate", {"version": 7})
    assert promotion.text == "model version 7 is the champion"
    assert release.text.startswith("model version 7 is released")
    assert release.facts["version"] == 7
    build(DESIGN, settings, turned={"share": 0.75})
    assert len(read(settings, "tiny")) == 3
