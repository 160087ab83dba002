"""The day writer sets the column types of a log, keeps missing times, and writes complete files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from infra.columns import seconds
from infra.simulation.days import day_file, log_table, read_day, write_day
from infra.simulation.streams import end_ts, start_ts, stream

DAY = 1_767_571_200.0  # 2026-01-05


class Span:
    start, days = "2026-01-05T00:00:00+00:00", 3


def a_table() -> pa.Table:
    columns = {
        "ad_id": np.array([4, 5]),
        "price": np.array([0.1, 0.2]),
        "is_random": np.array([True, False]),
        "label_ts": np.array([DAY + 0.5, np.nan]),
    }
    return log_table(columns, "old_v1", "uniform_v1")


def test_log_table_has_timestamps_policies_and_float32_columns() -> None:
    table = a_table()
    assert table.column_names == ["ad_id", "price", "policy", "label_ts"]
    assert table.schema.field("price").type == pa.float32()
    assert table.schema.field("label_ts").type == pa.timestamp("us", tz="UTC")
    assert table["policy"].to_pylist() == ["uniform_v1", "old_v1"]
    np.testing.assert_array_equal(seconds(table["label_ts"].to_numpy()), [DAY + 0.5, np.nan])


def test_day_is_written_as_one_file_under_its_date(tmp_path: Path) -> None:
    file = day_file(tmp_path / "log", start_ts(Span(), 1))
    assert file == tmp_path / "log" / "date=2026-01-06" / "part-0.parquet"
    assert read_day(file) is None
    write_day(file, a_table())
    found = read_day(file)
    assert found is not None
    assert found.equals(a_table())
    assert [path.name for path in file.parent.iterdir()] == ["part-0.parquet"]
    only = read_day(file, ["ad_id"])
    assert only is not None
    assert only.column_names == ["ad_id"]


def test_history_covers_its_configured_days() -> None:
    assert (start_ts(Span()), start_ts(Span(), 2), end_ts(Span())) == (DAY, DAY + 2 * 86_400, DAY + 3 * 86_400)


@pytest.mark.parametrize(("part", "key"), [("posts", ()), ("history", (3,)), ("history", (3, 1))])
def test_random_stream_depends_on_its_seed_part_and_key(part: str, key: tuple[int, ...]) -> None:
    first = stream(7, part, *key).random(4).tolist()
    assert stream(7, part, *key).random(4).tolist() == first
    assert stream(8, part, *key).random(4).tolist() != first
    assert stream(7, "history", 3, 1, 5).random(4).tolist() != first
