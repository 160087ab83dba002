"""A build keeps the files of its cut, reports missing or damaged files, and knows where its log ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.build.runner import StepContext
from infra.columns import timestamps
from infra.errors import LabError
from infra.live.kept_log import end_of_log, keep_cut, log_errors, read_folder, read_until, write_cut
from infra.live.live_log import LiveLog, cut_of, live_root
from infra.settings import Settings
from tests.support.tiny import tiny_design

LOG = LiveLog(
    "tiny", {"shown": "seen_ts", "posts": "published_ts"}, trained=("shown", "posts"), labels=("shown", "seen_ts")
)


@pytest.fixture
def context(tmp_path: Path) -> StepContext:
    settings = Settings(home=tmp_path)
    write(live_root(LOG, settings) / "shown", "1", seen_ts=timestamps([10.0, 11.5]))
    write(live_root(LOG, settings) / "shown", "2", seen_ts=timestamps([12.25]))
    cut = cut_of(LOG, settings)
    return StepContext(tiny_design(), settings, None, tmp_path / "out", {}, lambda share, text: None, cut=cut)


def write(folder: Path, number: str, **columns: pa.Array) -> None:
    place = folder / "date=2026-01-05" / "hour=00"
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), place / f"part-e-{number}.parquet")


def test_keep_cut_keeps_the_files_of_the_cut_only(context: StepContext) -> None:
    write(live_root(LOG, context.settings) / "shown", "3", seen_ts=timestamps([13.0]))
    keep_cut(LOG, context)
    kept = read_folder(context.out / "shown")
    assert kept is not None
    assert len(kept) == 3
    assert read_folder(context.out / "posts") is None


def test_keep_cut_raises_when_a_file_is_missing(context: StepContext) -> None:
    next(live_root(LOG, context.settings).rglob("part-e-2.parquet")).unlink()
    with pytest.raises(LabError, match="no longer exists"):
        keep_cut(LOG, context)


def test_damaged_file_raises_an_error_with_a_hint(context: StepContext) -> None:
    keep_cut(LOG, context)
    file = next(context.out.rglob("part-e-2.parquet"))
    file.unlink()
    file.write_bytes(b"no Parquet")
    with pytest.raises(LabError, match="cannot be read"), log_errors():
        read_folder(context.out / "shown")


@pytest.mark.parametrize(
    ("times", "until"),
    [([], 100.0), ([[]], 100.0), ([[20.0, 30.5]], 100.0), ([[100.0]], 101.0), ([[7.0], [102.9, 3.0]], 103.0)],
)
def test_build_reads_until_the_second_after_the_newest_event(
    tmp_path: Path, times: list[list[float]], until: float
) -> None:
    write_cut(tmp_path, {"events": 3}, 100.0, *(np.array(some, np.float64) for some in times))
    assert read_until(tmp_path) == until


def test_end_of_log_is_the_newest_event_of_all_folders(tmp_path: Path) -> None:
    assert end_of_log(LOG, tmp_path) == 0
    write(tmp_path / "shown", "1", seen_ts=timestamps([12.25]))
    assert end_of_log(LOG, tmp_path) == 12.25
    write(tmp_path / "posts", "1", published_ts=pa.array([40.5, 14.0]))
    assert end_of_log(LOG, tmp_path) == 40.5
