"""Each kind of check finds the rows that break it, in the day and the file where they are, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.columns import timestamps
from infra.data_quality.checks import (
    FEW,
    LogTable,
    Rule,
    Volume,
    holds,
    in_range,
    label_delay,
    not_null,
    one_of,
    refers_to,
)
from infra.data_quality.measure import check_log
from infra.data_quality.results import Finding, Report, Status
from infra.errors import LabError

DAYS = ("2026-01-05", "2026-01-06", "2026-01-07", "2026-01-08")
COLUMNS = {"id": "int64", "user_id": "int64", "kind": "string", "at_ts": "timestamp[us, tz=UTC]"}
COLUMNS |= {"label_ts": "timestamp[us, tz=UTC]", "share": "float"}


def rows_of(day: int, count: int = 100, **changed: Sequence[Any]) -> pa.Table:
    first = day * 1000
    columns: dict[str, Any] = {
        "id": pa.array(range(first, first + count), pa.int64()),
        "user_id": pa.array([number % 10 for number in range(count)], pa.int64()),
        "kind": pa.array(["a", "b"] * (count // 2)).dictionary_encode(),
        "at_ts": timestamps([86_400.0 * day + number for number in range(count)]),
        "label_ts": timestamps([86_400.0 * day + number + 30 for number in range(count)]),
        "share": pa.array([0.5] * count, pa.float32()),
    }
    for name, values in changed.items():
        columns[name] = timestamps(values) if name.endswith("_ts") else pa.array(values, columns[name].type)
    return pa.table(columns)


def write(root: Path, tables: Sequence[pa.Table]) -> None:
    for day, table in zip(DAYS, tables, strict=True):
        file = root / "log" / f"date={day}" / "part-0.parquet"
        file.parent.mkdir(parents=True)
        pq.write_table(table, file)
    pq.write_table(pa.table({"user_id": pa.array(range(10), pa.int64())}), root / "people.parquet")


def checked(root: Path, *rules: Rule, volume: Volume | None = None, key: tuple[str, ...] = ("id",)) -> Report:
    people = LogTable("people", "world", "people", {"user_id": "int64"}, key=("user_id",))
    log = LogTable("log", "world", "log", COLUMNS, key=key, rules=rules, volume=volume)
    return check_log("tiny", "smoke", (people, log), {"world": root}, DAYS, lambda *_: None)


def only(report: Report, status: Status = "failed") -> Finding:
    (found,) = report.with_status(status)
    assert len(report.findings) > 1
    return found


def test_log_without_damage_passes(tmp_path: Path) -> None:
    write(tmp_path, [rows_of(day) for day in range(4)])
    rules = (
        not_null("id"),
        in_range("share", 0, 1),
        one_of("kind", ("a", "b")),
        refers_to("user_id", "people.user_id"),
    )
    report = checked(tmp_path, *rules, label_delay("at_ts", "label_ts", 60.0), volume=Volume())
    assert report.status == "passed"
    assert report.rows == {"people": {"": 10}, "log": dict.fromkeys(DAYS, 100)}
    # five rules, the key and the volume on each of four days, and the key of the people
    assert len(report.findings) == 4 * 7 + 1


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        (in_range("share", 0.0, 1.0), {"share": [0.5] * 99 + [1.5]}),
        (in_range("share", 0.0, 1.0), {"share": [0.5] * 99 + [float("nan")]}),
        (not_null("user_id"), {"user_id": [1] * 99 + [None]}),
        (one_of("kind", ("a", "b")), {"kind": ["a"] * 99 + ["c"]}),
        (one_of("kind", ("a", "b")), {"kind": ["a"] * 99 + [None]}),
        (refers_to("user_id", "people.user_id"), {"user_id": [1] * 99 + [77]}),
        (
            label_delay("at_ts", "label_ts", 60.0),
            {"label_ts": [86_400.0 * 2 + number for number in range(99)] + [86_400.0 * 3]},
        ),
        (
            label_delay("at_ts", "label_ts", 60.0),
            {"label_ts": [86_400.0 * 2 + number for number in range(99)] + [86_400.0]},
        ),
        (holds("ordered", "label_ts >= at_ts", "at_ts"), {"label_ts": [86_400.0 * 2 + 99] * 99 + [0.0]}),
    ],
)
def test_broken_row_is_found_where_it_is(tmp_path: Path, rule: Rule, changed: dict[str, Any]) -> None:
    write(tmp_path, [rows_of(0), rows_of(1), rows_of(2, **changed), rows_of(3)])
    found = only(checked(tmp_path, rule))
    assert (found.table, found.day, found.rule, found.kind) == ("log", DAYS[2], rule.name, rule.kind)
    assert (found.broken, found.rows) == (1, 100)
    assert (found.samples[0]["file"], found.samples[0]["row"]) == (f"date={DAYS[2]}/part-0.parquet", 99)
    assert found.samples[0]["id"] == 2099
    assert set(rule.columns) <= set(found.samples[0])


def test_missing_label_has_no_delay(tmp_path: Path) -> None:
    late = [float("nan")] * 100
    write(tmp_path, [rows_of(day, label_ts=late) for day in range(4)])
    assert checked(tmp_path, label_delay("at_ts", "label_ts", 60.0)).status == "passed"


def test_reference_may_have_exceptions_and_several_tables(tmp_path: Path) -> None:
    write(
        tmp_path, [rows_of(0), rows_of(1, user_id=[-1] * 100), rows_of(2, user_id=list(range(2000, 2100))), rows_of(3)]
    )
    rule = refers_to("user_id", "people.user_id", "log.id", unless="user_id < 0")
    assert checked(tmp_path, rule).status == "passed"


def test_duplicates_are_found_across_days(tmp_path: Path) -> None:
    again = list(range(1000, 1002)) + list(range(3002, 3100))
    write(tmp_path, [rows_of(0), rows_of(1), rows_of(2), rows_of(3, id=again)])
    found = only(checked(tmp_path))
    assert (found.kind, found.day, found.broken) == ("duplicate", DAYS[3], 2)
    assert [sample["id"] for sample in found.samples] == [1000, 1001]


@pytest.mark.parametrize(("count", "status"), [(30, "failed"), (50, "warned"), (180, "warned"), (300, "failed")])
def test_volume_is_compared_with_the_days_before(tmp_path: Path, count: int, status: Status) -> None:
    write(tmp_path, [*(rows_of(day) for day in range(3)), rows_of(3, count)])
    found = only(checked(tmp_path, volume=Volume()), status)
    assert (found.kind, found.day, found.rows) == ("volume", DAYS[3], count)
    assert f"{count / 100:.2f} × the median" in found.detail


def test_missing_day_fails(tmp_path: Path) -> None:
    write(tmp_path, [rows_of(day) for day in range(4)])
    (tmp_path / "log" / f"date={DAYS[0]}" / "part-0.parquet").unlink()
    found = only(checked(tmp_path, volume=Volume()))
    assert (found.kind, found.day, found.rows) == ("volume", DAYS[0], 0)


def test_wrong_type_and_missing_column_are_named(tmp_path: Path) -> None:
    wrong = rows_of(1).drop_columns(["share"]).set_column(0, "id", pa.array(range(100), pa.int32()))
    write(tmp_path, [rows_of(0), wrong, rows_of(2), rows_of(3)])
    found = only(checked(tmp_path, in_range("share", 0, 1)))
    assert (found.kind, found.day) == ("schema", DAYS[1])
    assert "id is int32, not int64" in found.detail
    assert "share is missing, not float" in found.detail


def test_share_of_broken_rows_passes_warns_or_fails(tmp_path: Path) -> None:
    def bad(count: int) -> list[float]:
        return [2.0] * count + [0.5] * (1000 - count)

    tables = [rows_of(day, 1000, share=bad(count)) for day, count in enumerate((0, FEW, 100, 101))]
    write(tmp_path, tables)
    report = checked(tmp_path, in_range("share", 0.0, 1.0, tolerated=0.1))
    statuses = [finding.status for finding in report.findings if finding.kind == "range"]
    assert statuses == ["passed", "warned", "warned", "failed"]


def test_expected_share_passes(tmp_path: Path) -> None:
    late = [86_400.0 * 4 if number < 5 else 86_400.0 + number for number in range(100)]
    write(tmp_path, [rows_of(0), rows_of(1, label_ts=late), rows_of(2), rows_of(3)])
    assert checked(tmp_path, label_delay("at_ts", "label_ts", 60.0, expected=0.05)).status == "passed"
    assert checked(tmp_path, label_delay("at_ts", "label_ts", 60.0, expected=0.04)).status == "warned"


def test_table_without_files_has_no_rows(tmp_path: Path) -> None:
    write(tmp_path, [rows_of(day) for day in range(4)])
    lists = LogTable("lists", "world", "lists", {"id": "int64", "edges": "list<int32>"}, key=("id",))
    log = LogTable("log", "world", "log", COLUMNS, rules=(refers_to("id", "lists.id", tolerated=1.0),))
    report = check_log("tiny", "smoke", (lists, log), {"world": tmp_path}, DAYS, lambda *_: None)
    assert report.rows["lists"] == {}
    assert [finding.broken for finding in report.with_status("warned")] == [100] * 4


def test_file_that_is_not_parquet_is_an_error_with_its_name(tmp_path: Path) -> None:
    write(tmp_path, [rows_of(day) for day in range(4)])
    (tmp_path / "log" / f"date={DAYS[1]}" / "part-0.parquet").write_text("nothing")
    with pytest.raises(LabError, match=r"part-0\.parquet cannot be read"):
        checked(tmp_path)


def test_file_with_damaged_pages_is_an_error(tmp_path: Path) -> None:
    """The end of the file is intact, so its schema can still be read."""
    write(tmp_path, [rows_of(day) for day in range(4)])
    file = tmp_path / "log" / f"date={DAYS[1]}" / "part-0.parquet"
    content = bytearray(file.read_bytes())
    content[4:400] = bytes(396)
    file.write_bytes(content)
    with pytest.raises(LabError, match="the log cannot be read"):
        checked(tmp_path, not_null("id"))
