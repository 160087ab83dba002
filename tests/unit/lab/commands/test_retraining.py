"""`lab retrain` has an exit code for a retraining that is due, and builds only then."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from infra.build.tasks import DUE
from infra.design import Design
from infra.live.retraining import MAX_AGE_S, NEW_ROWS, Retraining
from infra.settings import Settings
from lab.cli import app


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Names of the designs that were built, and why."""
    found: list[tuple[str, str]] = []

    def run_build(design: Design, settings: Settings, *, wait_s: float, reason: str, as_challenger: bool) -> None:
        assert as_challenger
        found.append((design.name, reason))

    monkeypatch.setattr("lab.services.building.stop_at_once", lambda: None)
    monkeypatch.setattr("lab.services.building.run_build", run_build)
    return found


def retrain(monkeypatch: pytest.MonkeyPatch, *words: str, due: bool) -> tuple[Result, dict[str, Any]]:
    asked: dict[str, Any] = {}

    def check(design: Any, settings: Any, **limits: Any) -> Retraining:
        asked.update(limits)
        return Retraining(due, "because", 60.0, 7)

    monkeypatch.setattr("infra.live.retraining.check_retraining", check)
    return CliRunner().invoke(app, ["retrain", "feed_ranking", "--preset", "smoke", *words]), asked


@pytest.mark.parametrize(("due", "code"), [(True, DUE), (False, 0)])
def test_check_reports_by_exit_code_and_builds_nothing(
    monkeypatch: pytest.MonkeyPatch, built: list[tuple[str, str]], due: bool, code: int
) -> None:
    done, asked = retrain(monkeypatch, "--check", "--json", due=due)
    assert (done.exit_code, built) == (code, [])
    assert json.loads(done.stdout) == {"due": due, "reason": "because", "age_s": 60.0, "new_rows": 7}
    assert asked == {"max_age_s": MAX_AGE_S, "enough_rows": NEW_ROWS}


@pytest.mark.parametrize("due", [True, False])
def test_retrain_builds_if_due(monkeypatch: pytest.MonkeyPatch, built: list[tuple[str, str]], due: bool) -> None:
    done, _ = retrain(monkeypatch, due=due)
    assert (done.exit_code, built) == (0, [("feed_ranking", "because")] if due else [])


def test_limits_can_be_given(monkeypatch: pytest.MonkeyPatch, built: list[tuple[str, str]]) -> None:
    _, asked = retrain(monkeypatch, "--check", "--max-age-h", "0", "--enough-rows", "5", due=False)
    assert asked == {"max_age_s": 0.0, "enough_rows": 5}
