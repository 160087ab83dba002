"""A build as of a date reads a shorter history and fewer files of the live log, and is kept beside the served build."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import pytest

from infra.build.as_of import as_of
from infra.build.current import is_built
from infra.build.fingerprints import CURRENT, DATES, KEPT_DATES, step_paths
from infra.build.outcome import read_outcome
from infra.build.runner import StepContext, build
from infra.build.single_step import build_step
from infra.design import Step
from infra.errors import LabError, UsageError
from infra.live.live_log import before
from infra.settings import Settings
from tests.support.tiny import tiny_design


@dataclass(frozen=True)
class World:
    start: str = "2026-01-05T00:00:00+00:00"
    days: int = 20


@dataclass(frozen=True)
class Config:
    world: World = field(default_factory=World)

    @property
    def least_days(self) -> int:
        return 4


PRESETS = {"smoke": Config()}
HERE = "tests.unit.infra.build.test_as_of"
DESIGN = tiny_design(
    Step("world", f"{HERE}:write_days", "Days", ("world",)),
    Step("live", f"{HERE}:write_cut", "Cut", ("world",), cut=f"{HERE}:cut_of"),
    Step("last", f"{HERE}:write_days", "Last", ("world",), after=("world", "live")),
    config=f"{HERE}:PRESETS",
)
FILES = ("date=2026-01-25/hour=03/part-0", "date=2026-01-26/hour=00/part-1", "date=2026-01-26/hour=23/part-2")


def write_days(context: StepContext) -> None:
    (context.out / "days.txt").write_text(f"{context.config.world.days} {context.model_name}")


def write_cut(context: StepContext) -> None:
    (context.out / "cut.txt").write_text(context.cut)


def fail(context: StepContext) -> None:
    raise LabError("broken")


def cut_of(settings: Settings) -> str:
    marks = settings.home / "live"
    return "\n".join(f"10 log/{line}" for line in marks.read_text().split()) if marks.exists() else ""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "live").write_text("\n".join(FILES))
    return Settings(home=tmp_path, preset="smoke")


def test_history_ends_before_the_date_and_the_live_log_is_empty(settings: Settings) -> None:
    runs = build(as_of(DESIGN, settings, date(2026, 1, 15)), settings)
    assert (runs[0].path / "days.txt").read_text() == "10 tiny-smoke-2026-01-15"
    assert (runs[1].path / "cut.txt").read_text() == ""


def test_date_in_the_live_log_keeps_the_files_before_it(settings: Settings) -> None:
    runs = build(as_of(DESIGN, settings, date(2026, 1, 26)), settings)
    assert (runs[0].path / "days.txt").read_text().startswith("20 ")
    assert (runs[1].path / "cut.txt").read_text() == f"10 log/{FILES[0]}"


def test_date_after_all_data_changes_nothing(settings: Settings) -> None:
    assert as_of(DESIGN, settings, date(2026, 1, 27)) is DESIGN


def test_date_with_too_few_days_is_refused(settings: Settings) -> None:
    with pytest.raises(UsageError, match="begins on 2026-01-05"):
        as_of(DESIGN, settings, date(2026, 1, 8))
    assert as_of(DESIGN, settings, date(2026, 1, 9)).as_of == "2026-01-09"


def test_served_build_and_its_cut_stay(settings: Settings) -> None:
    build(DESIGN, settings)
    pointer = settings.design_root("tiny") / CURRENT
    served = pointer.read_text()
    build(as_of(DESIGN, settings, date(2026, 1, 15)), settings)
    assert pointer.read_text() == served
    assert is_built(DESIGN, settings)


def test_steps_one_by_one_equal_a_whole_build_and_leave_the_pointer(settings: Settings) -> None:
    past = as_of(DESIGN, settings, date(2026, 1, 26))
    alone = [build_step(past, settings, step.name) for step in past.steps]
    assert not (settings.design_root("tiny") / CURRENT).exists()
    assert all(run.skipped for run in build(past, settings))
    assert [run.path for run in alone] == list(step_paths(past, settings).values())


def test_outputs_of_the_newest_dates_stay_when_the_served_build_changes(settings: Settings) -> None:
    dated = [build(as_of(DESIGN, settings, date(2026, 1, 10 + day)), settings) for day in range(KEPT_DATES + 2)]
    build(DESIGN, settings)
    there = [runs[0].path.exists() for runs in dated]
    assert there == [False, False, *[True] * KEPT_DATES]
    names = sorted(file.stem for file in (settings.design_root("tiny") / "steps" / DATES).iterdir())
    assert names[0] == "2026-01-12"


def test_failure_of_a_past_date_is_not_that_of_the_served_build(settings: Settings) -> None:
    broken = replace(DESIGN, steps=(Step("world", f"{HERE}:fail", "Fails", ("world",)),))
    with pytest.raises(LabError):
        build(as_of(broken, settings, date(2026, 1, 15)), settings)
    assert read_outcome(settings.design_root("tiny")) is None
    with pytest.raises(LabError):
        build(broken, settings)
    outcome = read_outcome(settings.design_root("tiny"))
    assert outcome is not None
    assert "broken" in outcome.error


def test_before_compares_dates_not_sizes_or_hours() -> None:
    cut = "\n".join(f"{size} log/{file}" for size, file in enumerate(FILES))
    assert before(cut, "2026-01-25") == ""
    assert before(cut, "2026-01-26").splitlines() == ["0 log/" + FILES[0]]
    assert before(cut, "2026-01-27") == cut


def test_forced_step_of_a_past_date_leaves_the_served_build_up_to_date(settings: Settings) -> None:
    build(DESIGN, settings)
    past = as_of(DESIGN, settings, date(2026, 1, 15))
    first = build_step(past, settings, "world")
    again = build_step(past, settings, "world", run_id="tuesday")
    assert again.path != first.path
    assert build_step(past, settings, "world", run_id="tuesday").skipped
    assert is_built(DESIGN, settings)
