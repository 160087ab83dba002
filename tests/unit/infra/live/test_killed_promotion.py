"""A promotion is killed before each of its writes. The next look finishes it, and there is one champion at any time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.evaluation.sequential import Arm
from infra.live.rollout_step import advance, guard
from infra.registry.release import Release, read_release
from infra.registry.rollout import Rollout, read_rollout, write_rollout
from infra.settings import Settings
from infra.telemetry import timeline
from infra.telemetry.canary.look import Measured
from tests.support.tiny import tiny_design
from tests.support.tiny_steps import DESIGN as STEPS

DESIGN = tiny_design(*STEPS.steps, config="tests.support.tiny:ROLLING")
DIGESTS = {1: "aa" * 32, 2: "bb" * 32}
WRITES = 6
"""of a promotion: the registry, two pointers, two entries of the timeline, the rollout"""


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, preset="smoke")


@pytest.fixture
def root(settings: Settings) -> Path:
    """Version 1 serves, and version 2 answers a quarter of the users."""
    found = settings.design_root("tiny")
    paths = {}
    for version in (1, 2):
        folder = found / "steps" / str(version)
        folder.mkdir(parents=True)
        Release("tiny", "tiny-smoke", version, DIGESTS[version], "", "", "", 0.0).write(folder)
        (folder / "step.json").write_text(json.dumps({"seconds": 1.0, "facts": {"version": version}}))
        paths[version] = {step.name: str(folder) for step in DESIGN.steps} | {"release": str(folder)}
    (found / "current.json").write_text(json.dumps(paths[1]))
    release = str(found / "steps" / "2")
    state = Rollout(stage="canary", share=0.25, version=2, digest=DIGESTS[2], release=release, paths=paths[2], before=1)
    assert write_rollout(found, Rollout(), state) is not None
    return found


@pytest.fixture
def writes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The number of writes so far, and how many the process survives. `champion` is that of the registry.

    Threads that an earlier test has left behind may write files elsewhere, which do not count.
    """
    found: dict[str, Any] = {"done": 0, "survives": WRITES, "champion": 1}
    replace, append = Path.replace, timeline._append

    def counted() -> None:
        if found["done"] == found["survives"]:
            raise Killed
        found["done"] += 1

    def replacing(self: Path, target: Path) -> Path:
        if Path(target).is_relative_to(settings.home):
            counted()
        return replace(self, target)

    def appending(path: Path, line: bytes) -> None:
        counted()
        append(path, line)

    def naming(settings: Settings, release: Release) -> None:
        counted()
        found["champion"] = release.model_version

    monkeypatch.setattr(Path, "replace", replacing)
    monkeypatch.setattr(timeline, "_append", appending)
    monkeypatch.setattr("infra.build.current.name_champion", naming)
    seen = Measured(measure="clicks", new=Arm(300, 300.0, 300.0), old=Arm(900, 900.0, 900.0))
    monkeypatch.setattr("infra.telemetry.canary.look.look", lambda *_: seen)
    return found


@pytest.mark.parametrize("survives", range(WRITES))
def test_next_look_finishes_a_promotion_that_was_killed(
    settings: Settings, root: Path, writes: dict[str, Any], survives: int
) -> None:
    writes["survives"] = survives
    with pytest.raises(Killed):
        advance(DESIGN, settings)
    assert writes["champion"] in (1, 2)
    assert read_release(root).model_version in (1, 2), "one release serves"
    assert read_rollout(root).is_active, "the next look knows that there is something to do"

    writes |= {"done": 0, "survives": 100}
    assert advance(DESIGN, settings).stage == "promoted"
    assert (writes["champion"], read_release(root).model_version) == (2, 2)
    promotions = [entry for entry in timeline.read(settings, "tiny") if entry.kind == "promotion"]
    assert len(promotions) == 1, "the timeline tells it once"


def test_guard_does_not_take_back_what_a_killed_promotion_has_released(
    settings: Settings, root: Path, writes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a model that is called bad would serve all users."""
    writes["survives"] = 3
    with pytest.raises(Killed):
        advance(DESIGN, settings)
    assert read_release(root).model_version == 2
    writes |= {"done": 0, "survives": 100}
    monkeypatch.setattr("infra.live.rollout_step._broken", lambda *_: "all of its requests fail")
    assert guard(DESIGN, settings, read_rollout(root)) == ""
    assert advance(DESIGN, settings).stage == "promoted"


def test_promotion_writes_this_often(settings: Settings, root: Path, writes: dict[str, Any]) -> None:
    writes["survives"] = 100
    assert advance(DESIGN, settings).stage == "promoted"
    assert writes["done"] == WRITES
