"""One step runs alone: on the outputs of earlier steps, under the build lock, and forced once per run of an
orchestrator."""

from __future__ import annotations

import fcntl
import json
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from infra.build.current import SUMMARY, is_built
from infra.build.fingerprints import CURRENT, choose_option
from infra.build.runner import StepContext, StepObserver, build, only_build
from infra.build.single_step import build_step
from infra.errors import Busy, InputsMissing, LabError, UsageError
from infra.settings import Settings
from infra.telemetry.timeline import read
from tests.support.tiny import tiny_design
from tests.support.tiny_steps import DESIGN, WITH_OPTION, current


class Notes(StepObserver):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def noticed(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, preset="smoke")


def test_steps_one_by_one_equal_a_whole_build(settings: Settings, tmp_path: Path) -> None:
    alone = [build_step(DESIGN, settings, name) for name in "abc"]
    other = Settings(home=tmp_path / "other", preset="smoke")
    whole = build(DESIGN, other)
    assert [run.path.name for run in alone] == [run.path.name for run in whole]
    assert (alone[2].path / "c.txt").read_text() == (whole[2].path / "c.txt").read_text()
    assert is_built(DESIGN, settings)


def test_timeline_tells_the_release_of_single_steps_with_the_seconds_of_all(settings: Settings) -> None:
    first = build_step(DESIGN, settings, "a").path / SUMMARY
    first.write_text(json.dumps(json.loads(first.read_text()) | {"seconds": 7.5}))
    build_step(DESIGN, settings, "b")
    assert read(settings, "tiny") == []
    for _ in range(2):
        build_step(DESIGN, settings, "c")
    (released,) = read(settings, "tiny")
    assert released.facts["steps"] == ["a", "b", "c"]
    assert 7.5 <= released.facts["seconds"] < 9


def test_step_that_is_done_is_skipped(settings: Settings) -> None:
    assert not build_step(DESIGN, settings, "a").skipped
    assert build_step(DESIGN, settings, "a").skipped


def test_step_without_its_inputs_names_the_step_to_run(settings: Settings) -> None:
    build_step(DESIGN, settings, "a")
    with pytest.raises(InputsMissing, match="no output of the step b") as caught:
        build_step(DESIGN, settings, "c")
    assert caught.value.exit_code == 6
    assert "--only b" in caught.value.hint


def test_pointer_moves_only_after_the_last_step(settings: Settings) -> None:
    before = {run.name: str(run.path) for run in build(DESIGN, settings)}
    build_step(DESIGN, settings, "a", run_id="monday")
    build_step(DESIGN, settings, "b")
    assert current(settings) == before
    build_step(DESIGN, settings, "c")
    assert current(settings).keys() == before.keys()
    assert all(current(settings)[name] != before[name] for name in "abc"), "a forced step gives its readers new inputs"


def test_last_step_needs_every_other_step(settings: Settings) -> None:
    choose_option(WITH_OPTION, settings, "extra", chosen=True)
    for name in "ax":
        build_step(WITH_OPTION, settings, name)
    with pytest.raises(InputsMissing, match="step b"):  # the last step does not read b
        build_step(WITH_OPTION, settings, "d")
    assert not (settings.design_root("tiny") / CURRENT).exists()


def test_unknown_step_and_step_that_is_not_chosen_are_refused(settings: Settings) -> None:
    for name in ("z", "x"):
        with pytest.raises(UsageError, match=f"no step '{name}'"):
            build_step(WITH_OPTION, settings, name)


def test_run_id_forces_a_step_once(settings: Settings) -> None:
    build_step(DESIGN, settings, "a")
    assert not build_step(DESIGN, settings, "a", run_id="monday").skipped
    assert build_step(DESIGN, settings, "a", run_id="monday").skipped, "the repeated task of the same run"
    assert not build_step(DESIGN, settings, "a", run_id="tuesday").skipped
    assert not build_step(DESIGN, settings, "b", run_id="monday").skipped, "each step of a run is forced"


def test_repeated_task_continues_the_step_that_it_forced(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    build(DESIGN, settings)

    def broken(context: StepContext) -> None:
        raise LabError("broken")

    with monkeypatch.context() as patched:
        patched.setattr("tests.support.tiny_steps.make_a", broken)
        with pytest.raises(LabError, match="broken"):
            build_step(DESIGN, settings, "a", run_id="monday")
    rounds = settings.design_root("tiny") / "steps" / "rounds.json"
    forced = rounds.read_text()
    assert not build_step(DESIGN, settings, "a", run_id="monday").skipped
    assert rounds.read_text() == forced


def test_step_waits_for_another_build_and_gives_up_at_the_end(settings: Settings) -> None:
    root = settings.design_root("tiny") / "steps"
    root.mkdir(parents=True)
    with (root / "build.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Busy) as caught:
            build_step(DESIGN, settings, "a", wait_s=0.1)
        assert caught.value.exit_code == 7
        threading.Timer(0.3, fcntl.flock, (other, fcntl.LOCK_UN)).start()
        notes = Notes()
        assert not build_step(DESIGN, settings, "a", wait_s=60, observer=notes).skipped
    assert [text for text in notes.texts if "waiting at most 60 s" in text], "the user sees why nothing happens"


def still_there(output: Path, settings: Settings) -> bool:
    return not (settings.home / "lost").exists()


def test_output_that_a_server_lost_is_made_again_also_in_a_run_that_has_forced_it(settings: Settings) -> None:
    watched = replace(DESIGN.steps[0], still_there=f"{__name__}:still_there")
    design = tiny_design(watched, *DESIGN.steps[1:])
    build_step(design, settings, "a", run_id="monday")
    assert build_step(design, settings, "a", run_id="monday").skipped
    (settings.home / "lost").touch()
    assert not build_step(design, settings, "a", run_id="monday").skipped


def test_free_lock_is_not_waited_for(settings: Settings) -> None:
    began = time.monotonic()
    with only_build(settings.design_root("tiny") / "steps", wait_s=60):
        assert time.monotonic() - began < 30
