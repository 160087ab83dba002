"""Every design checks its log before it learns from it, and finds planted damage of each kind."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from infra.build.outcome import REPORT_FOLDER, failed_report, read_outcome
from infra.build.runner import StepContext
from infra.build.single_step import build_step
from infra.data_quality.checks import Kind
from infra.data_quality.results import REPORT
from infra.design import Design, resolve
from infra.errors import DataRejected, UsageError
from infra.settings import Settings
from lab.commands.quality import report_directory
from lab.designs import load_designs

DAYS = 4
DAMAGED_DAY = 3


@dataclass(frozen=True)
class Main:
    """The table with the labels of a design: columns to damage, and the value that breaks the rule."""

    table: str
    ranged: tuple[str, float]
    required: str
    reference: tuple[str, int]
    label: str


MAIN = {
    "feed_ranking": Main("log", ("dwell_s", -4.0), "user_id", ("post_id", 10**9), "label_ts"),
    "ctr_prediction": Main("log", ("price", -1.0), "user_id", ("ad_id", 10**9), "label_ts"),
    "eta_prediction": Main("trips", ("quoted_s", -1.0), "trip_id", ("origin", 10**6), "arrival_ts"),
}


@dataclass(frozen=True)
class Log:
    """A short generated log of a design, built once."""

    design: Design
    settings: Settings
    inputs: Mapping[str, Path]

    @property
    def main(self) -> Main:
        return MAIN[self.design.name]

    def file(self, world: Path) -> Path:
        return sorted((world / self.main.table).glob("date=*/part-0.parquet"))[DAMAGED_DAY]

    def check(self, world: Path, out: Path) -> None:
        """Run the step `validate` on `world`."""
        (step,) = (step for step in self.design.steps if step.name == "validate")
        config = self.design.configuration(self.settings.preset)
        inputs = {**self.inputs, "world": world}
        out.mkdir()
        resolve(step.target)(StepContext(self.design, self.settings, config, out, inputs, lambda *_: None))


@pytest.fixture(scope="module", params=load_designs(), ids=str)
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Log:
    settings = Settings(home=tmp_path_factory.mktemp("quality"), preset="smoke")
    first = date.fromisoformat(request.param.configuration("smoke").world.start[:10])
    design = replace(request.param, as_of=str(first + timedelta(days=DAYS)))
    return Log(design, settings, {name: build_step(design, settings, name).path for name in ("world", "live")})


def set_first(table: pa.Table, column: str, value: float | int | None, count: int = 3) -> pa.Table:
    """The table with `value` in the first `count` rows of the column."""
    place, kind = table.schema.get_field_index(column), table.schema.field(column).type
    new = pa.concat_arrays([pa.array([value] * count, kind), table[column].combine_chunks()[count:]])
    return table.set_column(place, table.schema.field(place), new)


def wrong_type(table: pa.Table, main: Main) -> pa.Table:
    place = table.schema.get_field_index(main.reference[0])
    return table.set_column(place, main.reference[0], table[main.reference[0]].cast(pa.float64()))


def late_labels(table: pa.Table, main: Main) -> pa.Table:
    place = table.schema.get_field_index(main.label)
    later = pc.add(table[main.label], pa.scalar(timedelta(days=10), pa.duration("us")))
    return table.set_column(place, table.schema.field(place), later)


DAMAGE: dict[Kind, Callable[[pa.Table, Main], pa.Table]] = {
    "schema": wrong_type,
    "range": lambda table, main: set_first(table, *main.ranged),
    "null": lambda table, main: set_first(table, main.required, None),
    "reference": lambda table, main: set_first(table, *main.reference),
    "volume": lambda table, main: table.slice(0, len(table) // 10),
    "duplicate": lambda table, main: pa.concat_tables([table, table.slice(0, 3)]),
    "label_delay": late_labels,
}


def test_generated_log_passes_every_check(log: Log, tmp_path: Path) -> None:
    log.check(log.inputs["world"], tmp_path / "out")
    report = (tmp_path / "out" / REPORT_FOLDER / REPORT).read_text()
    assert '"status": "passed"' in report
    pages = sorted(path.stem for path in (tmp_path / "out" / REPORT_FOLDER / "days").glob("*.html"))
    assert set(pages) >= {
        path.parent.name.removeprefix("date=") for path in (log.inputs["world"] / log.main.table).glob("*/*")
    }


@pytest.mark.parametrize("kind", DAMAGE)
def test_planted_damage_is_found(log: Log, kind: Kind, tmp_path: Path) -> None:
    world = tmp_path / "world"
    shutil.copytree(log.inputs["world"], world)
    file = log.file(world)
    pq.write_table(DAMAGE[kind](pq.read_table(file, partitioning=None), log.main), file)
    with pytest.raises(DataRejected) as caught:
        log.check(world, tmp_path / "out")
    day = file.parent.name.removeprefix("date=")
    assert caught.value.exit_code == 8
    assert f"{log.main.table}, {day}: " in str(caught.value)
    assert f'"kind": "{kind}"' in (tmp_path / "out" / REPORT_FOLDER / REPORT).read_text()
    page = (tmp_path / "out" / REPORT_FOLDER / "days" / f"{day}.html").read_text()
    assert 'class="failed"' in page
    before = str(date.fromisoformat(day) - timedelta(days=1))
    assert 'class="failed"' not in (tmp_path / "out" / REPORT_FOLDER / "days" / f"{before}.html").read_text()


def test_failed_check_stops_the_build_and_its_report_is_kept(log: Log) -> None:
    design, root = replace(log.design, as_of=""), log.settings.design_root(log.design.name)
    for name in ("world", "live"):
        path = build_step(design, log.settings, name).path
        if name == "world":
            file = log.file(path)
    whole = file.read_bytes()
    pq.write_table(DAMAGE["range"](pq.read_table(file, partitioning=None), log.main), file)
    with pytest.raises(DataRejected):
        build_step(design, log.settings, "validate")
    assert (outcome := read_outcome(root))
    assert "DataRejected" in outcome.error
    assert report_directory(design, log.settings) == failed_report(root)
    file.write_bytes(whole)
    passed = build_step(design, log.settings, "validate").path
    assert (outcome := read_outcome(root))
    assert not outcome.error
    assert not failed_report(root).exists()
    assert report_directory(design, log.settings) == passed / REPORT_FOLDER


def test_date_before_the_history_is_refused(log: Log) -> None:
    from infra.build.as_of import as_of

    with pytest.raises(UsageError, match="begins on"):
        as_of(replace(log.design, as_of=""), log.settings, date(2020, 1, 1))
