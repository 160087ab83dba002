"""A rollout moves on, waits or goes back by what replicas and sessions say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.evaluation.sequential import Arm
from infra.live.rollout_step import advance, guard
from infra.registry.release import Release
from infra.registry.rollout import Rollout, read_rollout, write_rollout
from infra.serving.release_tally import FOLDER
from infra.settings import Settings
from infra.telemetry.canary.look import Measured
from infra.telemetry.timeline import read
from tests.support.tiny import tiny_design
from tests.support.tiny_steps import DESIGN as STEPS

DESIGN = tiny_design(*STEPS.steps, config="tests.support.tiny:ROLLING")
DIGEST = "bb" * 32
OLD, NEW = "tiny-smoke/1", "tiny-smoke/2"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, preset="smoke")


@pytest.fixture
def root(settings: Settings) -> Path:
    found = settings.design_root("tiny")
    (found / "challenger").mkdir(parents=True)
    Release("tiny", "tiny-smoke", 2, DIGEST, "", "", "", 0.0).write(found / "challenger")
    return found


def move(root: Path, stage: str, share: float) -> None:
    release = str(root / "challenger")
    state = Rollout(
        stage=stage,  # type: ignore[arg-type]
        share=share,
        version=2,
        digest=DIGEST,
        release=release,
        paths={"release": release},
        before=1,
    )
    assert write_rollout(root, read_rollout(root), state) is not None


def told(root: Path, *, shadow: int = 0, error: str = "", **models: dict[str, int]) -> None:
    counts = {"ok": 0, "degraded": 0, "shed": 0, "failed": 0, "slow": 0}
    rows = {{"old": OLD, "new": NEW}[name]: counts | found for name, found in models.items()}
    content = {"digest": DIGEST, "models": rows, "shadow": {"done": shadow, "failed": 0, "shed": 0}, "error": error}
    (root / FOLDER).mkdir(exist_ok=True)
    (root / FOLDER / "replica-a.json").write_text(json.dumps(content))


def measured(monkeypatch: pytest.MonkeyPatch, **values: Any) -> None:
    monkeypatch.setattr("infra.telemetry.canary.look.look", lambda *_: Measured(measure="clicks", **values))


def test_shadow_ends_after_enough_requests(settings: Settings, root: Path) -> None:
    move(root, "shadow", 0.5)
    told(root, shadow=199)
    assert advance(DESIGN, settings).stage == "shadow"
    told(root, shadow=200)
    found = advance(DESIGN, settings)
    assert (found.stage, found.share) == ("canary", 0.01)
    assert read(settings, "tiny")[-1].facts == {"version": 2, "share": 0.01}


def test_canary_waits_for_sessions_and_takes_the_next_step(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move(root, "canary", 0.01)
    measured(monkeypatch, new=Arm(299, 299.0, 299.0), old=Arm(900, 900.0, 900.0))
    assert advance(DESIGN, settings).share == 0.01
    measured(monkeypatch, new=Arm(300, 300.0, 300.0), old=Arm(900, 900.0, 900.0))
    assert advance(DESIGN, settings).share == 0.05


def test_last_step_promotes(settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    promoted: list[str] = []
    monkeypatch.setattr("infra.live.rollout_step.promote_challenger", lambda *words: promoted.append(words[-1]))
    move(root, "canary", 0.25)
    measured(monkeypatch, new=Arm(300, 300.0, 300.0), old=Arm(900, 900.0, 900.0))
    advance(DESIGN, settings)
    assert promoted == ["it passed the canary; clicks: 1 in 300 sessions, the champion's 1"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"new": Arm(300, 30.0, 30.0), "old": Arm(300, 300.0, 300.0), "high": -0.5}, "clicks: 0.1 in 300 sessions"),
        ({"calibration": {"new": (0.2, 0.01, 99), "old": (0.9, 0.01, 99)}}, "its calibration is 0.20"),
    ],
)
def test_canary_goes_back_if_its_users_say_so(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], reason: str
) -> None:
    move(root, "canary", 0.05)
    measured(monkeypatch, **values)
    found = advance(DESIGN, settings)
    assert found.stage == "rolled back"
    assert reason in found.reason
    assert DIGEST in found.rejected
    assert read(settings, "tiny")[-1].kind == "rollback"


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ({"new": {"failed": 50}, "old": {"ok": 500}}, "of its requests fail"),
        ({"error": "the index is damaged"}, "a replica cannot load it: the index is damaged"),
    ],
)
def test_guard_takes_a_bad_challenger_back_without_reading_the_log(
    settings: Settings, root: Path, counts: Any, reason: str
) -> None:
    move(root, "canary", 0.05)
    told(root, **counts)
    assert reason in guard(DESIGN, settings, read_rollout(root))
    assert read_rollout(root).stage == "rolled back"


def test_guard_does_not_undo_what_a_person_has_just_done(settings: Settings, root: Path) -> None:
    move(root, "canary", 0.05)
    old = read_rollout(root)
    write_rollout(root, old, old.moved("promoted", share=1.0))
    told(root, new={"failed": 50})
    assert guard(DESIGN, settings, old) == ""
    assert read_rollout(root).stage == "promoted"


def test_promotion_that_was_interrupted_after_the_pointer_moved_is_finished(settings: Settings, root: Path) -> None:
    move(root, "canary", 0.25)
    (root / "current.json").write_text(json.dumps({"release": str(root / "challenger")}))
    assert advance(DESIGN, settings).stage == "promoted"


def test_nothing_happens_without_a_rollout(settings: Settings, root: Path) -> None:
    assert advance(DESIGN, settings) == Rollout()
