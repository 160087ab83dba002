"""`lab models` names the version that serves, and what the gate said about each."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.registry.mlflow_registry import MlflowRegistry
from infra.registry.port import ListedVersion, ModelVersion
from infra.registry.release import Release
from infra.settings import Settings
from lab.cli import app
from lab.commands.learning.models import _age
from tests.support.releases import point_to

REFUSED = "refused: worse than champion 1"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without a registry: the versions come from a list."""
    now = time.time()
    listed = [
        ListedVersion(ModelVersion("feed_ranking-smoke", 2, "b", {"loss": 0.4}), ("challenger",), now - 90, REFUSED),
        ListedVersion(ModelVersion("feed_ranking-smoke", 1, "a", {"loss": 0.3}), ("champion",), now - 7200, "passed"),
    ]
    monkeypatch.setattr(MlflowRegistry, "__init__", lambda self, settings: None)
    monkeypatch.setattr(
        MlflowRegistry, "newest", lambda self, name, limit: listed[:limit] if name == "feed_ranking-smoke" else []
    )
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["models", *words, "--preset", "smoke"], catch_exceptions=False)
    return done.stdout


def test_served_version_is_the_one_of_the_release(home: Path) -> None:
    point_to(
        Settings(home=home, preset="smoke"), Release("feed_ranking", "feed_ranking-smoke", 1, "a", "", "", "", 0.0)
    )
    first, second = json.loads(run("feed_ranking", "--json"))
    assert [(row["version"], row["serves"], row["aliases"]) for row in (first, second)] == [
        (2, False, ["challenger"]),
        (1, True, ["champion"]),
    ]
    assert (first["gate"], first["figures"]) == (REFUSED, {"loss": 0.4})
    printed = run("feed_ranking")
    assert "champion, serves" in printed
    assert "2 min" in printed
    assert REFUSED in printed


def test_no_version_serves_before_the_first_release(home: Path) -> None:
    (only,) = json.loads(run("feed_ranking", "--limit", "1", "--json"))
    assert only["serves"] is False


def test_model_that_was_never_built_is_an_error_with_the_command_that_builds_it(home: Path) -> None:
    done = CliRunner().invoke(app, ["models", "ctr_prediction", "--preset", "smoke"])
    assert "no model ctr_prediction-smoke" in str(done.exception)
    assert "lab build ctr_prediction" in getattr(done.exception, "hint", "")


@pytest.mark.parametrize(("seconds", "shown"), [(-3, "0 s"), (59, "59 s"), (3600, "1 h"), (200_000, "2 d")])
def test_age_has_one_unit(seconds: float, shown: str) -> None:
    assert _age(seconds) == shown
