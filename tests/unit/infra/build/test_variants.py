"""A build with changed knobs reuses unchanged steps and leaves the served build as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.build.current import is_built
from infra.build.fingerprints import step_paths, variant_name
from infra.build.runner import StepContext, StepRun, build
from infra.design import Step, with_knobs
from infra.errors import UsageError
from infra.settings import Settings
from tests.support.tiny import PRESETS, TinyConfig, tiny_design

DESIGN = tiny_design(
    Step("first", "tests.unit.infra.build.test_variants:write", "First", ("a",)),
    Step("second", "tests.unit.infra.build.test_variants:write", "Second", ("b",), after=("first",)),
)


def write(context: StepContext) -> None:
    (context.out / "seen.json").write_text(json.dumps([context.config.b.share, context.model_name]))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, preset="smoke")


def ran(runs: list[StepRun]) -> list[str]:
    return [run.name for run in runs if not run.skipped]


def test_changed_knob_reruns_only_the_steps_that_read_it(settings: Settings) -> None:
    assert ran(build(DESIGN, settings)) == ["first", "second"]
    runs = build(DESIGN, settings, turned={"share": 0.9})
    assert ran(runs) == ["second"]
    assert json.loads((runs[1].path / "seen.json").read_text())[0] == 0.9
    assert ran(build(DESIGN, settings, turned={"share": 0.9})) == []


def test_variant_registers_its_models_under_its_own_name(settings: Settings) -> None:
    names = [
        json.loads((build(DESIGN, settings, turned=turned)[1].path / "seen.json").read_text())[1]
        for turned in ({}, {"share": 0.9}, {"share": 0.8})
    ]
    assert names[0] == "tiny-smoke"
    assert len(set(names)) == 3
    assert variant_name(DESIGN, {}) == ""


def test_variant_build_leaves_the_served_build_unchanged(settings: Settings) -> None:
    build(DESIGN, settings)
    pointer = settings.design_root("tiny") / "current.json"
    before = pointer.read_text()
    build(DESIGN, settings, turned={"share": 0.9})
    assert pointer.read_text() == before
    assert is_built(DESIGN, settings)


def test_variant_outputs_are_removed_with_the_base_build(settings: Settings) -> None:
    build(DESIGN, settings)
    variant = build(DESIGN, settings, turned={"share": 0.9})[1].path
    build(DESIGN, settings)
    assert variant.exists(), "an unchanged build keeps the variants"
    build(DESIGN, settings, from_step="first")
    assert not variant.exists()
    assert all(path.exists() for path in step_paths(DESIGN, settings).values())


def test_with_knobs_sets_the_knob_in_its_stage() -> None:
    config: TinyConfig = with_knobs(PRESETS["smoke"], {"share": 0.25})
    assert config.b.share == 0.25
    assert config.a == PRESETS["smoke"].a
    assert with_knobs(PRESETS["smoke"], {}) is PRESETS["smoke"]


@pytest.mark.parametrize("turned", [{"nothing": 1}, {"share": 2.0}, {"share": "much"}, {"label": "x"}])
def test_unknown_knob_or_invalid_value_is_rejected(turned: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        with_knobs(PRESETS["smoke"], turned)
