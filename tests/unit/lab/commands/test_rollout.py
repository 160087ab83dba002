"""`lab rollout`, `promote`, `rollback` and `stop` show and change the state, and a dead registry stops none of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from infra.errors import DependencyError, RegistryUnavailable, UsageError
from infra.registry.rollout import Rollout, read_rollout, write_rollout
from infra.serving.release_tally import ReleaseTally
from infra.settings import Settings
from lab.cli import app

DIGEST = "bb" * 32


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return Settings(home=tmp_path, preset="smoke")


@pytest.fixture
def root(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the feed with a canary; the registry is down."""

    def down(*_: object) -> None:
        raise RegistryUnavailable("the registry did not answer")

    monkeypatch.setattr("lab.commands.learning.rollout.set_aliases", down)
    found = settings.design_root("feed_ranking")
    state = Rollout(stage="canary", share=0.2, version=7, digest=DIGEST, before=6, reason="50 requests in the shadow")
    assert write_rollout(found, read_rollout(found), state) is not None
    return found


def run(*words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--preset", "smoke"])


def test_without_a_rollout_the_commands_say_so(settings: Settings) -> None:
    assert "has had no rollout" in run("rollout", "eta_prediction").output
    for command, words in (("promote", "no challenger"), ("stop", "no running rollout")):
        done = run(command, "eta_prediction")
        assert isinstance(done.exception, UsageError)
        assert words in str(done.exception)


def test_rollout_shows_counts_and_sessions_of_both_models(root: Path) -> None:
    tally = ReleaseTally(root, slow_s=0.2)
    tally.begin(DIGEST)
    for _ in range(3):
        tally.ended("feed_ranking-smoke/7", "ok", 0.3)
    tally.write()
    found: dict[str, Any] = {"number": 1, "measure": "attention per session, s", "means": {"new": 12.5, "old": 11.0}}
    arms = {"new": {"n": 40, "users": 33}, "old": {"n": 160, "users": 97}, "low": -1.5, "high": 4.5}
    found |= arms | {"calibration": {"new": [0.9, 0.1, 50], "old": [None, None, 0]}}
    (root / "rollout" / "measured.json").write_text(json.dumps(found))
    printed = run("rollout", "feed_ranking").output
    for text in (
        "model version 7 in place of 6: canary, 20% of users",
        "champion 6",
        "challenger 7",
        "12.5",
        "0.900",
        "33",
    ):
        assert text in printed
    assert "-1.5 to +4.5" in printed
    rows = json.loads(run("rollout", "feed_ranking", "--json").output)
    assert (rows["stage"], rows["version"], rows["measured"]["new"]["n"]) == ("canary", 7, 40)


def test_follower_asks_a_registry_that_is_down_only_now_and_then(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    asked: list[int] = []

    def advance(*_: object) -> Rollout:
        looks.append(1)
        state = read_rollout(root)
        if len(looks) == 10:
            write_rollout(root, state, state.moved("stopped"))
        return read_rollout(root)

    def down(*_: object) -> None:
        asked.append(len(looks))
        raise RegistryUnavailable("the registry did not answer")

    monkeypatch.setattr("infra.live.rollout_step.advance", advance)
    monkeypatch.setattr("lab.commands.learning.rollout.set_aliases", down)
    monkeypatch.setattr("lab.commands.learning.rollout.LOOK_S", 0.0)
    done = run("rollout", "feed_ranking", "--follow")
    assert isinstance(done.exception, DependencyError), "the monitor waits after a failed process"
    assert asked == [1, 10], "at first, and of the end"


def test_stop_ends_the_rollout_also_without_the_registry(root: Path) -> None:
    done = run("stop", "feed_ranking", "--reason", "not now")
    assert done.exit_code == 0
    assert "the registry's aliases are old" in done.output
    state = read_rollout(root)
    assert (state.stage, state.reason, dict(state.rejected)) == ("stopped", "not now", {})


def test_command_finishes_a_promotion_that_was_killed(root: Path) -> None:
    """The challenger is released already, so `lab stop` has nothing to stop."""
    state, paths = read_rollout(root), {"release": str(root / "steps" / "release")}
    assert write_rollout(root, state, replace(state, paths=paths)) is not None
    (root / "current.json").write_text(json.dumps(paths))
    done = run("stop", "feed_ranking")
    assert isinstance(done.exception, UsageError)
    assert "no running rollout" in str(done.exception)
    assert read_rollout(root).stage == "promoted"


def test_rollback_calls_the_challenger_bad(root: Path) -> None:
    assert run("rollback", "feed_ranking", "--reason", "worse").exit_code == 0
    assert read_rollout(root).rejected == {DIGEST: "worse"}
