"""A step continues from the output with the most files of its cut, if only the cut differs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.build.runner import StepContext
from infra.design import Step
from infra.live.earlier_rows import first_snapshot_after, lineage_of, log_files, uniform_of, write_files
from infra.settings import Settings
from tests.support.tiny import tiny_design

STEP = "train"
DAY_S, HOUR_S = 86_400.0, 3_600.0


@pytest.fixture
def context(tmp_path: Path) -> StepContext:
    step = Step(STEP, "tests.support.tiny_steps:make_a", "train", ("a",))
    design, settings = tiny_design(step), Settings(home=tmp_path, preset="smoke")
    out = settings.design_root(design.name) / "steps" / STEP / "now.partial"
    out.mkdir(parents=True)
    live = tmp_path / "live"
    for number in range(4):
        write(live, number)
    return StepContext(design, settings, None, out, {"live": live}, lambda share, text: None)


def write(live: Path, number: int) -> None:
    folder = live / "log" / "date=2026-01-05" / "hour=00"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"number": [number]}), folder / f"part-e-{number}.parquet")


def earlier(context: StepContext, name: str, *numbers: int) -> None:
    """An output of the step that has read these files."""
    files = log_files(context)
    out = context.out.with_name(name)
    out.mkdir()
    read = tuple(file for file in files.names if int(file[-len("0.parquet")]) in numbers)
    write_files(replace(files, names=read), replace(context, out=out))


def numbers_read(context: StepContext) -> list[int]:
    table = log_files(context).new_rows("log")
    return [] if table is None else table["number"].to_pylist()


def test_without_an_earlier_output_all_files_are_read(context: StepContext) -> None:
    assert numbers_read(context) == [0, 1, 2, 3]
    assert log_files(context).earlier is None


def test_the_output_with_the_most_files_is_continued(context: StepContext) -> None:
    earlier(context, "a", 0)
    earlier(context, "b", 0, 1, 2)
    earlier(context, "c", 1)
    assert numbers_read(context) == [3]
    found = log_files(context).earlier
    assert found is not None
    assert found.parent.name == "b"
    earlier(context, "d", 0, 1, 2, 3)
    assert numbers_read(context) == []


def test_an_output_with_a_file_that_the_cut_lacks_is_not_continued(context: StepContext) -> None:
    """A build as of a date has a smaller cut than later builds, and must not know their rows."""
    earlier(context, "a", 0, 1)
    earlier(context, "b", 0, 1, 2, 3)
    next(context.inputs["live"].rglob("part-e-3.parquet")).unlink()
    assert numbers_read(context) == [2]


def test_an_output_of_other_code_or_knobs_is_not_continued(context: StepContext) -> None:
    earlier(context, "a", 0, 1, 2)
    listed = context.out.with_name("a") / "live" / "files.json"
    stored = json.loads(listed.read_text())
    assert stored["lineage"] == lineage_of(context) != ""
    listed.write_text(json.dumps(stored | {"lineage": "another"}))
    assert numbers_read(context) == [0, 1, 2, 3]


def test_a_step_outside_of_a_build_has_no_earlier_output(context: StepContext, tmp_path: Path) -> None:
    earlier(context, "a", 0, 1, 2)
    elsewhere = tmp_path / "elsewhere" / "now"
    elsewhere.mkdir(parents=True)
    assert numbers_read(replace(context, out=elsewhere)) == [0, 1, 2, 3]


def test_rows_are_valid_until_the_first_snapshot_that_contains_a_new_event() -> None:
    """A snapshot contains the events before it, so an event at the time of a snapshot is in the next one."""
    every_s = (DAY_S, 6 * HOUR_S)
    assert first_snapshot_after([], 0.0, every_s) == np.inf
    assert first_snapshot_after([5 * HOUR_S, 1 * HOUR_S], 0.0, every_s) == 6 * HOUR_S
    assert first_snapshot_after([6 * HOUR_S], 0.0, every_s) == 12 * HOUR_S
    assert first_snapshot_after([20 * HOUR_S], 0.0, (DAY_S, 7 * HOUR_S)) == 21 * HOUR_S


def test_draws_depend_on_the_id_alone_and_are_uniform() -> None:
    ids = 10**14 + np.arange(20_000)
    drawn = uniform_of(ids, 7)
    np.testing.assert_array_equal(drawn[5_000:6_000], uniform_of(ids[5_000:6_000], 7))
    counts = np.histogram(drawn, 20, (0, 1))[0]
    assert counts.sum() == 20_000
    assert abs(counts - 1_000).max() < 150, "five standard deviations"
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.03
    assert abs(np.corrcoef(drawn, uniform_of(ids, 8))[0, 1]) < 0.03
