"""Trip files are read with their times and places; impossible rows are counted by reason and none is lost."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eta_prediction.offline.trip_files.tally import Tally
from eta_prediction.offline.trip_files.trips import Trips, numbers_of, read_trips, times_of
from infra.build.trip_files import TripFiles
from infra.errors import LabError, UsageError
from tests.support.trip_files import LAT, LON, TAXI_HEADER, quiet, taxi_lines, write


def read(path: Path, form: str = "taxi", **options: str) -> tuple[Trips, Tally]:
    tally = Tally()
    return read_trips(TripFiles.of(f"{form}:{path}", **options), quiet, tally), tally


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_impossible_trips_are_counted_by_reason_and_line(tmp_path: Path, packed: bool) -> None:
    lines = taxi_lines(400)
    changes = {
        3: (1, ""),
        4: (1, "yesterday"),
        5: (2, "east"),
        6: (2, ""),
        7: (3, "91"),
        8: (7, "0"),
        9: (7, "-20"),
        10: (7, "29"),
        11: (7, "21601"),
        12: (7, "86390"),
        13: (7, "nan"),
        14: (4, "13.5"),
        15: (1, "2002-01-01 00:00:00"),
        16: (7, "inf"),
        20: (7, "30"),
    }
    for number, (column, value) in changes.items():
        cells = lines[number - 1].split(",")
        cells[column] = value
        lines[number - 1] = ",".join(cells)
    same = lines[16].split(",")
    lines[16] = ",".join([*same[:4], *same[2:4], *same[6:]])
    zero = lines[17].split(",")
    lines[17] = ",".join([*zero[:2], "0", "0", *zero[4:]])
    fast = lines[19].split(",")
    lines[19] = ",".join([*fast[:4], f"{LON + 0.1}", f"{LAT + 0.1}", *fast[6:]])
    lines[20] += ",more"
    trips, tally = read(write(tmp_path / "trips", lines, packed=packed))
    assert {reason: refused.first for reason, refused in tally.refused.items()} == {
        "pickup_datetime is blank": [3],
        "pickup_datetime is no time": [4],
        "pickup_longitude is no number": [5],
        "pickup_longitude is blank": [6],
        "no point of departure": [7, 18],
        "the trip takes no time, or less than none": [8, 9],
        "shorter than 30 s": [10],
        "longer than 6 h": [11, 12],
        "trip_duration is blank": [13],
        "trip_duration is no number": [16],
        "more than 200 km from the city": [14],
        "date far from all others": [15],
        "from a point to the same point": [17],
        "faster than 200 km/h on the straight line": [20],
        "not 8 fields": [21],
    }
    assert (tally.lines, tally.good, tally.bad) == (400, 382, 18)
    assert set(trips.line) == set(range(22, 402)) | {2, 19}


@given(cells=st.lists(st.text('0123456789.-:, TZeain"\x00é', max_size=12), max_size=12))
def test_every_row_is_good_or_counted(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    lines = taxi_lines(300)
    path = tmp_path_factory.mktemp("rows") / "trips.csv"
    odd = [",".join(cells[at : at + 8]).replace("\n", "") for at in range(0, len(cells), 2)]
    path.write_bytes("\n".join([*lines, *odd, ""]).encode() + b"\xff\xfe,1,2\n")
    trips, tally = read(path)
    assert tally.lines == tally.good + tally.bad == len(lines) + len(odd)
    assert len(trips) == tally.good >= 290


@pytest.mark.parametrize(
    "text",
    [
        "2016-03-14 17:24:55",
        "2016-03-14T17:24:55",
        "2016-03-14T17:24:55Z",
        "2016-03-14 17:24:55.000000",
        "1457976295",
        "1457976295000",
        "03/14/2016 05:24:55 PM",
        "14.03.2016 17:24:55",
        "2016/03/14 17:24:55",
    ],
)
def test_times_of_all_formats_are_the_same_seconds(text: str) -> None:
    found = times_of(pa.chunked_array([[text, "", text, "soon"]]))
    true = datetime(2016, 3, 14, 17, 24, 55, tzinfo=UTC).timestamp()
    assert found[[0, 2]].tolist() == [true, true]
    assert np.isnan(found[[1, 3]]).all()


def test_numbers_of_a_column_are_finite_or_missing() -> None:
    found = numbers_of(pa.chunked_array([["1.5", "-2e1", "", "NA", "x", "inf", "nan", "1_000"]]))
    assert found[:2].tolist() == [1.5, -20.0]
    assert np.isnan(found[2:]).all()


def test_columns_of_any_csv_are_named_by_the_options(tmp_path: Path) -> None:
    rows = [line.split(",") for line in taxi_lines(300)]
    rows[0] = ["key", "start", "X1", "Y1", "X2", "Y2", "flag", "Secs"]
    path = write(tmp_path / "trips.csv", [";".join(row) for row in rows])
    named = {"pickup_time": "start", "duration": "Secs", "from_lonlat": "X1,Y1", "to_lonlat": "X2, Y2"}
    trips, tally = read(path, "csv", **named)
    assert (len(trips), tally.bad) == (300, 0)
    taxi, _ = read(write(tmp_path / "taxi.csv", taxi_lines(300)))
    assert all(np.array_equal(getattr(trips, name), getattr(taxi, name)) for name in vars(taxi))
    with pytest.raises(UsageError, match="no column 'Z'") as caught:
        read(path, "csv", **(named | {"duration": "Z"}))
    assert "start, X1" in caught.value.hint
    with pytest.raises(UsageError, match="'flag' is no column of numbers"):
        read(path, "csv", **(named | {"duration": "flag"}))
    with pytest.raises(UsageError, match="'Y1' is no column of times"):
        read(path, "csv", **(named | {"pickup_time": "Y1", "from_lonlat": "X1,flag"}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04....", "is a zip file"),
        (b"PAR1....", "is a Parquet file"),
        (b"\x1f\x8b\x08\x00broken", "is damaged|middle of its gzip"),
        (b"\xff\xfe\x00\x01\n", "is not text"),
        (b"hello\nworld\n", "no header of a CSV"),
        (b"a,b,c\n1,2,3\n", "no column 'pickup_datetime'"),
        (TAXI_HEADER.encode() + b"\n", "has no rows"),
        (f"{TAXI_HEADER},trip_duration\n".encode(), "two columns"),
        ("\n".join(taxi_lines(50)).encode(), "50 possible trips"),
    ],
)
def test_file_that_is_no_trip_file_is_refused_with_a_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "trips.csv"
    path.write_bytes(content)
    with pytest.raises(LabError, match=message):
        read(path)


def test_file_of_mostly_impossible_trips_is_refused_with_the_reasons(tmp_path: Path) -> None:
    lines = taxi_lines(400)
    lines[1:300] = [line.rpartition(",")[0] + ",5" for line in lines[1:300]]
    with pytest.raises(LabError, match="299 of 400 rows") as caught:
        read(write(tmp_path / "trips.csv", lines))
    assert caught.value.hint == "shorter than 30 s: 299, first in line 2"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs? --data or --graph"),
        ({"data": "parquet:x"}, "taxi:FILE, tlc:FILE or csv:FILE"),
        ({"data": "x.csv"}, "taxi:FILE, tlc:FILE or csv:FILE"),
        ({"data": "taxi:"}, "lacks the name of a file"),
        ({"graph": "osm:x"}, "dimacs:DIR or graphml:FILE"),
        ({"graph": "dimacs:"}, "lacks the name of a directory"),
        ({"graph": "dimacs:x", "split": "rows"}, "needs? --data"),
        ({"graph": "dimacs:x", "duration": "d"}, "--duration needs --data"),
        ({"data": "tlc:x"}, "needs --zones"),
        ({"data": "taxi:x", "zones": "z"}, "--zones applies only to --data tlc:FILE"),
        ({"data": "taxi:x", "duration": "d"}, "--duration applies only to --data csv:FILE"),
        ({"data": "csv:x", "duration": "d"}, "a CSV needs --pickup-time"),
        ({"data": "taxi:x", "split": "day"}, "time or rows"),
    ],
)
def test_conflicting_options_are_refused_with_a_sentence(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TripFiles.of(**options)


@pytest.mark.parametrize(("pair", "message"), [("a", "two columns"), ("a,b,c", "two columns"), ("t,d", "same column")])
def test_columns_of_a_place_are_a_pair(pair: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TripFiles.of("csv:x", pickup_time="t", duration="s", from_lonlat=pair, to_lonlat="c,d")
