"""`lab build --only` runs one step, and refuses options that belong to a whole build. `lab designs --json` lists the
steps for an orchestrator."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.build.fingerprints import step_paths
from infra.errors import InputsMissing, UsageError
from infra.settings import Settings
from lab.cli import app
from lab.designs import find_design, load_designs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "train", "--from", "train"), "--only runs one step"),
        (("--only", "train", "--with-naive-hydration"), "--only runs one step"),
        (("--force", "monday"), "--force needs --only"),
        (("--only", "nothing"), "no step 'nothing'"),
    ],
)
def test_options_that_do_not_fit_one_step_are_refused(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setattr("lab.services.building.stop_at_once", lambda: None)  # the test process keeps its handlers
    done = CliRunner().invoke(app, ["build", "feed_ranking", "--preset", "smoke", *arguments])
    assert isinstance(done.exception, UsageError), done.output
    assert message in str(done.exception)


def test_step_without_its_inputs_has_an_exit_code_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setattr("lab.services.building.stop_at_once", lambda: None)
    done = CliRunner().invoke(app, ["build", "feed_ranking", "--preset", "smoke", "--only", "train"])
    assert isinstance(done.exception, InputsMissing), done.output
    assert done.exception.hint == "run: lab build feed_ranking --only sample"


def test_json_lists_the_steps_of_each_design_after_those_that_they_read() -> None:
    done = CliRunner().invoke(app, ["designs", "--json"])
    rows = {row["design"]: row["steps"] for row in json.loads(done.output)}
    assert rows.keys() == {design.name for design in load_designs()}
    for steps in rows.values():
        names = [step["name"] for step in steps]
        assert all(set(step["after"]) <= set(names[:place]) for place, step in enumerate(steps))
        assert next(step["name"] for step in steps if step["trains"]) == "train"
    (naive,) = (step for step in rows["feed_ranking"] if step["option"])
    assert naive["option"] == "naive-hydration"


def test_json_states_what_a_step_took_in_the_newest_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    settings = Settings(home=tmp_path, preset="smoke")
    output = step_paths(find_design("eta_prediction"), settings)["world"]
    output.mkdir(parents=True)
    (output / "step.json").write_text(json.dumps({"seconds": 1.5, "peak_mb": 200.0, "facts": {}}))
    done = CliRunner().invoke(app, ["designs", "--json", "--preset", "smoke"])
    (steps,) = (row["steps"] for row in json.loads(done.output) if row["design"] == "eta_prediction")
    measured = {step["name"]: step["measured"] for step in steps}
    assert measured["world"] == {"seconds": 1.5, "peak_mb": 200.0}
    assert measured["train"] is None


@pytest.mark.parametrize(
    "arguments", [["--as-of", "yesterday"], ["--as-of", "2020-01-01"], ["--as-of", "2026-01-15", "--from", "train"]]
)
def test_invalid_dates_are_refused(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    monkeypatch.setattr("lab.services.building.stop_at_once", lambda: None)
    done = CliRunner().invoke(app, ["build", "feed_ranking", "--preset", "smoke", *arguments])
    assert isinstance(done.exception, UsageError), done.output
    assert "--as-of" in str(done.exception) or "begins on 2026-01-05" in str(done.exception)
    assert not (tmp_path / "smoke").exists()
