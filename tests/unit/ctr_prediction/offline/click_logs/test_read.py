"""Click logs are read line by line; malformed lines are reported by number and no line is lost."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ctr_prediction.offline.click_logs import lines as lines_module
from ctr_prediction.offline.click_logs.kinds import CRITEO, inspect, instant
from ctr_prediction.offline.click_logs.lines import LONGEST, Tally, blocks
from ctr_prediction.offline.click_logs.read import BLANK, read_log
from infra.errors import LabError, UsageError
from tests.support.click_logs import criteo_lines, write


def spoiled() -> list[str]:
    lines = criteo_lines(200)
    lines[2] = lines[2].replace("\t", " ", 1)
    lines[5] = "2" + lines[5][1:]
    lines[9] = "\t".join(["1", "1.5", *lines[9].split("\t")[2:]])
    lines[11] = "\t".join(["1", "1_000", *lines[11].split("\t")[2:]])
    lines[20] = ""
    lines[30] = "\t".join(["", *lines[30].split("\t")[1:]])
    return lines


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_malformed_rows_are_reported_by_line_number(tmp_path: Path, packed: bool) -> None:
    log, tally = read_log(write(tmp_path / "log", spoiled(), packed=packed), CRITEO)
    assert {reason: found.first for reason, found in tally.refused.items()} == {
        "not 40 fields": [3],
        "an empty line": [21],
        "label is not 0 or 1": [6, 31],
        "I1 is no whole number": [10, 12],
    }
    assert (tally.lines, tally.good, tally.bad) == (200, 194, 6)
    assert set(log.line) == set(range(1, 201)) - {3, 6, 10, 12, 21, 31}


def test_blank_values_stay_blank(tmp_path: Path) -> None:
    lines = criteo_lines(100)
    log, _ = read_log(write(tmp_path / "log", lines), CRITEO)
    cells = np.array([line.split("\t") for line in lines])
    assert np.array_equal(np.isnan(log.column("I5").values), cells[:, 5] == "")
    assert np.array_equal(log.column("C7").values == BLANK, cells[:, 20] == "")
    word = log.column("C7")
    assert [("", "", *word.words)[code] for code in word.values] == cells[:, 20].tolist()


@given(
    rows=st.lists(
        st.one_of(
            st.sampled_from(criteo_lines(5)),
            st.text("01\t\r\"a'é\x00", max_size=90),
            st.binary(max_size=30).map(lambda raw: raw.replace(b"\n", b"").decode("latin-1")),
        ),
        min_size=1,
        max_size=40,
    ),
    block=st.integers(1, 400),
    ended=st.booleans(),
    encoding=st.sampled_from(["utf-8", "latin-1"]),
)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_line_is_counted_as_good_or_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[str], block: int, ended: bool, encoding: str
) -> None:
    monkeypatch.setattr(lines_module, "BLOCK", block)
    rows = [row.replace("\n", "") for row in rows]
    path = tmp_path / "log"
    path.write_bytes(("\n".join(rows) + ("\n" if ended else "x")).encode(encoding, "replace"))
    tally = Tally()
    try:
        log, _ = read_log(path, CRITEO, tally=tally)
    except UsageError:
        assert path.read_bytes().startswith(tuple(lines_module.OTHER_PACKED))
        return
    except LabError:
        assert tally.bad > 0.1 * tally.lines or tally.good < 20
    else:
        assert len(log) == tally.good
    assert tally.good + tally.bad == tally.lines == len(rows)


def test_overlong_line_is_rejected_and_the_next_line_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "BLOCK", 1 << 16)
    path = write(tmp_path / "log", ["a", "b" * (3 * LONGEST), "c", "d" * (2 * LONGEST)])
    tally = Tally()
    found = [line for block in blocks(path, tally) for line in block.lines]
    assert found == ["a", "c"]
    assert [refused.first for refused in tally.refused.values()] == [[2, 4]]
    assert tally.lines == 4


def test_too_many_malformed_rows_end_the_build(tmp_path: Path) -> None:
    lines = [line if row % 5 else "?" for row, line in enumerate(criteo_lines(100))]
    with pytest.raises(LabError, match="20 of 100 lines") as caught:
        read_log(write(tmp_path / "log", lines), CRITEO)
    assert "not 40 fields: 20, first in line 1" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04......", "zip file"),
        (gzip.compress(b"1\t" * 5000, mtime=0)[:40], "in the middle of its gzip stream"),
        (b"\x1f\x8bnonsense that is no gzip", "damaged"),
        (b"\n", "1 of 1 lines"),
        (gzip.compress(b"", mtime=0), "has no rows"),
        ("\n".join(criteo_lines(5)).encode(), "5 usable rows"),
    ],
)
def test_invalid_log_file_raises_with_the_reason(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(LabError, match=match):
        read_log(path, CRITEO)


def test_missing_file_or_directory_is_rejected(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(UsageError):
            read_log(path, CRITEO)


def test_columns_of_a_csv_are_typed_by_inspection(tmp_path: Path) -> None:
    head = "id,hour,when,epoch_ts,age,score,city,zip,blank,income"
    rows = [
        f"{row},1410{21 + row % 9}{row % 24:02d},2026-01-05T10:00:{row % 60:02d}Z,{1_700_000_000 + row},{20 + row % 50}"
        f',{row / 7:.3f},"York, {row % 3}",0{1000 + row % 9},,{" >50K" if row % 4 == 0 else " <=50K"}'
        for row in range(120)
    ]
    path = write(tmp_path / "log.csv", [head, *rows])
    layout, notes = inspect(path, "income")
    kinds = {field.name: field.kind for _, field in layout.fields}
    assert kinds == {
        "id": "number",
        "hour": "time",
        "when": "time",
        "epoch_ts": "time",
        "age": "number",
        "score": "number",
        "city": "category",
        "zip": "category",
        "blank": "category",
    }
    assert notes == ["income: '>50K' counts as a click, '<=50K' as no click"]
    log, tally = read_log(path, layout)
    assert tally.good == tally.lines == 120
    assert log.clicked.sum() == 30
    assert log.column("city").words == ("York, 0", "York, 1", "York, 2")
    assert log.line[0] == 2


def test_timestamps_are_parsed_in_every_format() -> None:
    assert instant("14102101", "%y%m%d%H") == instant("2014-10-21 01:00:00", "iso") == 1_413_853_200
    assert instant("2014-10-21T03:00:00+02:00", "iso") == 1_413_853_200
    assert instant("1413853200000", "milliseconds") == 1_413_853_200
    assert instant("14132101", "%y%m%d%H") is None


@pytest.mark.parametrize(
    ("lines", "label", "match"),
    [
        (["a,b", "1,2"], "click", "has no column 'click'"),
        (["a,a", "1,2"], "a", "two columns 'a'"),
        (["a,b"], "a", "no row with 2 fields"),
        (["", "1,2"], "a", "not a header"),
        (["a,click", *(f"1,{row}" for row in range(30))], "click", "cannot be the label"),
        (["a,click", *("1,yes" for _ in range(30))], "click", "cannot be the label"),
    ],
)
def test_unusable_csv_raises_with_the_reason(tmp_path: Path, lines: list[str], label: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        inspect(write(tmp_path / "log.csv", lines), label)


def test_unclosed_quote_affects_only_its_own_line(tmp_path: Path) -> None:
    lines = ["a,click", *(f"w{row},{row % 2}" for row in range(40))]
    lines[7] = '"w,1'
    path = write(tmp_path / "log.csv", lines)
    _, tally = read_log(path, inspect(path, "click")[0])
    assert {reason: found.first for reason, found in tally.refused.items()} == {"a quote is left open": [8]}
    assert tally.good == 39
