"""What happens with a finished build: released at once, or tried as a challenger; and the ways back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.build.current import end_rollout, is_built, promote_challenger, release_previous
from infra.build.fingerprints import step_paths
from infra.build.runner import StepContext, build
from infra.design import Step
from infra.errors import RegistryUnavailable, UsageError
from infra.registry.release import Release, read_release
from infra.registry.rollout import read_rollout
from infra.settings import Settings
from infra.telemetry.timeline import read
from tests.support.tiny import tiny_design
from tests.support.tiny_steps import DESIGN as STEPS

MODEL = {"version": 1}
DESIGN = tiny_design(
    STEPS.steps[0],
    Step("release", "tests.unit.infra.build.test_current:write_release", "Last", (), after=("a",)),
    config="tests.support.tiny:ROLLING",
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, preset="smoke")


@pytest.fixture(autouse=True)
def champions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The versions that the registry was told to be champion."""
    found: list[int] = []
    monkeypatch.setattr("infra.build.current.name_champion", lambda _, release: found.append(release.model_version))
    MODEL["version"] = 1
    return found


def write_release(context: StepContext) -> dict[str, int]:
    version = MODEL["version"]
    Release("tiny", "tiny-smoke", version, f"digest-{version}", "", "", "", 0.0, released_ts=1.0).write(context.out)
    return {"version": version}


def next_build(settings: Settings, **options: Any) -> None:
    MODEL["version"] += 1
    build(DESIGN, settings, from_step="a", **options)


def served(settings: Settings) -> int:
    return read_release(settings.design_root("tiny")).model_version


def kinds(settings: Settings) -> list[str]:
    return [entry.kind for entry in read(settings, "tiny")]


def test_first_build_is_released_at_once_even_as_challenger(settings: Settings, champions: list[int]) -> None:
    build(DESIGN, settings, as_challenger=True)
    assert (served(settings), champions, is_built(DESIGN, settings)) == (1, [1], True)
    assert read_rollout(settings.design_root("tiny")).stage == "none"


def test_challenger_leaves_the_champion_until_it_is_promoted(settings: Settings, champions: list[int]) -> None:
    build(DESIGN, settings)
    next_build(settings, as_challenger=True)
    rollout = read_rollout(settings.design_root("tiny"))
    assert (rollout.stage, rollout.version, rollout.before, rollout.digest) == ("shadow", 2, 1, "digest-2")
    assert (served(settings), champions) == (1, [1])
    assert is_built(DESIGN, settings), "nothing is left to build"
    build(DESIGN, settings)
    assert served(settings) == 1, "a build that has nothing to do promotes nothing"
    assert promote_challenger(DESIGN, settings, rollout, "good")
    assert (served(settings), champions) == (2, [1, 2])
    assert read_rollout(settings.design_root("tiny")).stage == "promoted"
    assert kinds(settings) == ["promotion", "build", "shadow", "promotion", "build"]
    assert not promote_challenger(DESIGN, settings, rollout, "again"), "the state has changed"


def test_bad_challenger_is_not_released_again(settings: Settings) -> None:
    build(DESIGN, settings)
    next_build(settings, as_challenger=True)
    assert end_rollout(DESIGN, settings, read_rollout(settings.design_root("tiny")), is_bad=True, reason="worse")
    for again in (False, True):
        build(DESIGN, settings, as_challenger=again)
        assert (served(settings), is_built(DESIGN, settings)) == (1, True)
    next_build(settings)
    assert served(settings) == 3, "another model is"


def test_stopped_challenger_is_not_bad(settings: Settings) -> None:
    build(DESIGN, settings)
    next_build(settings, as_challenger=True)
    assert end_rollout(DESIGN, settings, read_rollout(settings.design_root("tiny")), is_bad=False, reason="not now")
    build(DESIGN, settings)
    assert served(settings) == 2
    assert kinds(settings)[-3:] == ["stop", "promotion", "build"]


def test_build_of_a_person_ends_the_rollout_of_another_model(settings: Settings) -> None:
    build(DESIGN, settings)
    next_build(settings, as_challenger=True)
    next_build(settings)
    rollout = read_rollout(settings.design_root("tiny"))
    assert (served(settings), rollout.stage, rollout.version) == (3, "stopped", 2)


def test_rollback_serves_the_build_before_and_never_the_bad_model(settings: Settings, champions: list[int]) -> None:
    build(DESIGN, settings)
    with pytest.raises(UsageError, match="no earlier release"):
        release_previous(DESIGN, settings, "worse")
    next_build(settings)
    assert release_previous(DESIGN, settings, "worse").model_version == 1
    assert (served(settings), champions) == (1, [1, 2, 1])
    assert is_built(DESIGN, settings)
    build(DESIGN, settings)
    assert served(settings) == 1
    with pytest.raises(UsageError, match="no earlier release"):
        release_previous(DESIGN, settings, "again")
    assert kinds(settings)[-1] == "rollback"


def test_person_may_promote_a_model_that_was_rolled_back(settings: Settings) -> None:
    root = settings.design_root("tiny")
    build(DESIGN, settings)
    next_build(settings)
    release_previous(DESIGN, settings, "by mistake")
    rollout = read_rollout(root)
    assert (rollout.stage, rollout.version, rollout.before) == ("rolled back", 2, 1)
    assert promote_challenger(DESIGN, settings, rollout, "it was good")
    assert (served(settings), dict(read_rollout(root).rejected)) == (2, {})
    assert end_rollout(DESIGN, settings, read_rollout(root), is_bad=False, reason="gone")
    lost = Path(read_rollout(root).release)
    lost.rename(lost.with_name("lost"))
    with pytest.raises(UsageError, match="are gone"):
        promote_challenger(DESIGN, settings, read_rollout(root), "again")


def test_outputs_of_champion_challenger_and_predecessor_stay(settings: Settings) -> None:
    build(DESIGN, settings)
    first = step_paths(DESIGN, settings)
    next_build(settings)
    second = step_paths(DESIGN, settings)
    next_build(settings, as_challenger=True)
    third = step_paths(DESIGN, settings)
    assert all(path.exists() for paths in (first, second, third) for path in paths.values())
    promote_challenger(DESIGN, settings, read_rollout(settings.design_root("tiny")), "good")
    assert all(path.exists() for paths in (first, second, third) for path in paths.values()), "no build has the lock"
    next_build(settings, as_challenger=True)
    assert all(path.exists() for paths in (second, third) for path in paths.values())
    assert not any(path.exists() for path in first.values())


def test_promotion_and_rollback_delete_nothing_of_a_build_that_runs(settings: Settings) -> None:
    root = settings.design_root("tiny")
    build(DESIGN, settings)
    next_build(settings, as_challenger=True)
    finished = root / "steps" / "a" / "of-a-running-build"
    finished.mkdir()
    promote_challenger(DESIGN, settings, read_rollout(root), "good")
    release_previous(DESIGN, settings, "worse")
    assert finished.exists()


def test_challengers_that_went_back_leave_no_outputs_once_the_next_one_begins(settings: Settings) -> None:
    root = settings.design_root("tiny")
    build(DESIGN, settings)
    first = step_paths(DESIGN, settings)
    gone = []
    for _ in range(3):
        next_build(settings, as_challenger=True)
        gone.append(step_paths(DESIGN, settings))
        end_rollout(DESIGN, settings, read_rollout(root), is_bad=True, reason="worse")
    assert all(path.exists() for paths in (first, gone[-1]) for path in paths.values())
    assert not any(path.exists() for paths in gone[:-1] for path in paths.values())


def test_registry_that_fails_during_a_promotion_keeps_the_rollout(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(DESIGN, settings)
    next_build(settings, as_challenger=True)
    root = settings.design_root("tiny")
    with monkeypatch.context() as patch:

        def down(*_: object) -> None:
            raise RegistryUnavailable("down")

        patch.setattr("infra.build.current.name_champion", down)
        with pytest.raises(RegistryUnavailable):
            promote_challenger(DESIGN, settings, read_rollout(root), "good")
    assert (served(settings), read_rollout(root).stage) == (1, "shadow")
    assert promote_challenger(DESIGN, settings, read_rollout(root), "good")
    assert served(settings) == 2


def test_pointer_to_the_build_before_that_names_the_present_one_means_no_way_back(settings: Settings) -> None:
    build(DESIGN, settings)
    root = settings.design_root("tiny")
    (root / "previous.json").write_text((root / "current.json").read_text())
    with pytest.raises(UsageError, match="no earlier release"):
        release_previous(DESIGN, settings, "worse")


def test_damaged_pointer_to_the_build_before_means_no_way_back(settings: Settings) -> None:
    build(DESIGN, settings)
    next_build(settings)
    previous: Path = settings.design_root("tiny") / "previous.json"
    assert json.loads(previous.read_text())
    previous.write_text("{")
    with pytest.raises(UsageError, match="no earlier release"):
        release_previous(DESIGN, settings, "worse")
