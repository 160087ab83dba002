"""A build as of a date has the same bytes in one go and after builds of earlier dates, and it is never served."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from infra.build.as_of import as_of
from infra.build.current import SUMMARY
from infra.build.fingerprints import CURRENT
from infra.build.runner import StepRun, build
from infra.design import Design
from infra.settings import Settings
from lab.designs import load_designs

STEPS = ("world", "live", "validate", "features", "materialize", "sample")
STORE = "materialize"
"""Feast's registry contains the time at which it was written, and the samples contain what was read from the store."""


@pytest.fixture(params=load_designs(), ids=str)
def design(request: pytest.FixtureRequest) -> Design:
    """The design with its steps up to the samples that models learn from."""
    found: Design = request.param
    assert {step.name for step in found.steps} >= set(STEPS)
    return replace(found, steps=tuple(step for step in found.steps if step.name in STEPS))


def digests(runs: list[StepRun]) -> dict[str, str]:
    """Relative path -> hash of every file that the steps wrote, but for the store and the times of the steps."""
    return {
        f"{run.name}/{path.relative_to(run.path)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for run in runs
        if run.name != STORE
        for path in sorted(run.path.rglob("*"))
        if path.is_file() and path.name != SUMMARY
    }


def test_same_date_gives_the_same_bytes(design: Design, tmp_path: Path) -> None:
    once, backfill = (Settings(home=tmp_path / name, preset="smoke") for name in ("once", "backfill"))
    config = design.configuration("smoke")
    first = date.fromisoformat(config.world.start[:10]) + timedelta(days=config.least_days)
    days = [first, first + timedelta(days=1)]
    whole = digests(build(as_of(design, once, days[1]), once))
    earlier = build(as_of(replace(design, steps=design.steps[: STEPS.index(STORE)]), backfill, days[0]), backfill)
    assert digests(build(as_of(design, backfill, days[1]), backfill)) == whole
    shared = digests(earlier).items() & whole.items()
    assert any(f"date={days[0] - timedelta(days=1)}" in name for name, _ in shared), "the days before are equal"
    dated = [name for name in digests(earlier) if "calendar" not in name]  # announces events of later days
    assert not any(f"date={days[0]}" in name for name in dated), "the day itself is not read"
    assert not (backfill.design_root(design.name) / CURRENT).exists()


def test_date_after_all_data_is_the_ordinary_build(design: Design, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, preset="smoke")
    world = design.configuration("smoke").world
    end = date.fromisoformat(world.start[:10]) + timedelta(days=world.days)
    assert as_of(design, settings, end) is design
    assert as_of(design, settings, end - timedelta(days=1)) is not design
