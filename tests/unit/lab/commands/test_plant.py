"""`lab plant` plants one cause, and says which one only with --show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from infra.build.runner import only_build
from infra.design import Design
from infra.errors import Busy, UsageError
from infra.faults.planted import read_planted
from infra.settings import Settings
from infra.telemetry.timeline import read
from lab.cli import app
from lab.designs import load_designs

PLANTABLE = [design for design in load_designs() if design.plants]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("LAB_HOME", str(tmp_path))
    return Settings(home=tmp_path, preset="smoke")


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["plant", *words, "--preset", "smoke"], catch_exceptions=False)
    return " ".join(done.output.split())


def planted(settings: Settings, design: str = "feed_ranking") -> str:
    return read_planted(settings.design_root(design))


@pytest.mark.parametrize("design", PLANTABLE, ids=str)
def test_listing_is_the_same_with_and_without_a_planted_cause(settings: Settings, design: Design) -> None:
    listed = run(design.name)
    assert all(plant.name in listed for plant in design.plants)
    for plant in design.plants:
        said = run(design.name, plant.name)
        assert planted(settings, design.name) == plant.name
        assert plant.name not in said
        assert run(design.name) == listed
        assert f"planted: {plant.name}" in run(design.name, "--show")
    assert read(settings, design.name) == [], "the timeline does not reveal a plant"
    run(design.name, "--clear")
    assert planted(settings, design.name) == ""
    assert "planted: none" in run(design.name, "--show")


@pytest.mark.parametrize("design", PLANTABLE, ids=str)
def test_every_cause_acts_in_a_step_or_in_the_service(design: Design) -> None:
    names = [plant.name for plant in design.plants]
    assert len(set(names)) == len(names)
    assert {plant.step for plant in design.plants} <= {"", *(step.name for step in design.steps)}


def test_json_lists_the_causes(settings: Settings) -> None:
    rows = json.loads(run("feed_ranking", "--json"))
    assert {"cause": "shortcut", "where": "service"}.items() <= rows[2].items()


def test_unknown_cause_and_contradicting_options_are_usage_errors(settings: Settings) -> None:
    with pytest.raises(UsageError, match="no cause 'nothing'"):
        run("feed_ranking", "nothing")
    with pytest.raises(UsageError, match="--clear removes"):
        run("feed_ranking", "leak", "--clear")
    assert planted(settings) == ""


def test_cause_cannot_change_while_a_build_runs(settings: Settings) -> None:
    with only_build(settings.design_root("feed_ranking") / "steps"), pytest.raises(Busy):
        run("feed_ranking", "leak")
    assert planted(settings) == ""
