"""Files of another kind are refused by their beginning, with a sentence, before anything is built."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from eta_prediction.offline.trip_files.check import check
from eta_prediction.offline.trip_files.rows import read_columns
from eta_prediction.offline.trip_files.tally import Tally
from infra.build.trip_files import TripFiles
from infra.errors import LabError, UsageError
from tests.support.trip_files import TAXI_HEADER, grid, taxi_lines, write, write_dimacs, write_graphml, write_tlc


def refusal(source: TripFiles) -> str:
    with pytest.raises(UsageError) as caught:
        check(source)
    return f"{caught.value} | {caught.value.hint}"


def test_files_of_every_kind_pass(tmp_path: Path) -> None:
    trips, zones = write_tlc(tmp_path / "tlc", 20)
    packed = write(tmp_path / "trips.csv.gz", taxi_lines(5), packed=True)
    city = write_graphml(tmp_path / "city.graphml", grid())
    (tmp_path / "city.graphml.gz").write_bytes(gzip.compress(city.read_bytes()))
    columns = {
        "pickup_time": "pickup_datetime",
        "duration": "trip_duration",
        "from_lonlat": "pickup_longitude,pickup_latitude",
        "to_lonlat": "dropoff_longitude,dropoff_latitude",
    }
    for source in (
        TripFiles.of(f"taxi:{packed}", f"dimacs:{write_dimacs(tmp_path / 'plain', grid())}"),
        TripFiles.of(f"csv:{packed}", f"dimacs:{write_dimacs(tmp_path / 'packed', grid(), packed=True)}", **columns),
        TripFiles.of(f"tlc:{trips}", f"graphml:{city}", zones=str(zones)),
        TripFiles.of(graph=f"graphml:{city}.gz"),
    ):
        check(source)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"when,seconds\n1,2\n", "no column 'pickup_datetime' | columns in the first line: when, seconds"),
        (f"{TAXI_HEADER}\n".encode(), "has no rows"),
        (b"\x00" * 4096, "is not text | the file is binary or in UTF-16"),
        (f"{TAXI_HEADER}\n1,2\n".encode("utf-16"), "is not text | the file is binary or in UTF-16"),
        (b"PAR1 and so on", "is a Parquet file | tlc:FILE takes Parquet files"),
        (b"x" * 200_000 + b",b\n1,2\n", "no header of a CSV"),
    ],
)
def test_file_without_the_columns_of_trips_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "trips.csv"
    path.write_bytes(content)
    assert message in refusal(TripFiles.of(f"taxi:{path}"))


def test_header_in_another_encoding_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trips.csv"
    path.write_bytes("\n".join(taxi_lines(3)).replace("store_and_fwd_flag", '"café, très"').encode("latin-1"))
    check(TripFiles.of(f"taxi:{path}"))
    tally = Tally()
    read_columns(path, {"note": ("café, très",)}, tally, lambda share, text: None)
    assert (tally.lines, tally.bad) == (3, 0)


def test_gzip_that_ends_in_its_first_line_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "trips.csv.gz"
    path.write_bytes(gzip.compress("\n".join(taxi_lines(3)).encode())[:30])
    with pytest.raises(LabError, match="ends in the middle"):
        check(TripFiles.of(f"taxi:{path}"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<osm><node/></osm>", "root element is 'osm' | graphml:FILE takes a street network"),
        ("hello", "not well-formed XML"),
        ("<graphml><graph>", "not well-formed XML"),
        ("<?xml version='1.0' encoding='utf-99'?><graphml/>", "not well-formed XML: unknown encoding"),
        ("<!DOCTYPE x><graphml/>", "declares a document type"),
    ],
)
def test_file_that_is_no_graphml_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "city").write_text(content)
    assert message in refusal(TripFiles.of(graph=f"graphml:{tmp_path / 'city'}"))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "must hold one .co file"),
        ({"a.gr": "hello\n" * 5, "a.co": "v 1 2 3\n"}, "a.gr is not a file of the 9th DIMACS challenge"),
        ({"a.gr": "a 1 2 3\n", "a.co": "a 1 2 3\n"}, "a.co is not a file of the 9th DIMACS challenge"),
    ],
)
def test_directory_that_is_no_dimacs_map_is_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert message in refusal(TripFiles.of(graph=f"dimacs:{tmp_path}"))


def test_zones_and_records_of_another_kind_are_refused(tmp_path: Path) -> None:
    trips, zones = write_tlc(tmp_path / "tlc", 20)
    empty = write(tmp_path / "empty.geojson", ['{"type": "FeatureCollection", "features": []}'])
    assert "has no zones" in refusal(TripFiles.of(f"tlc:{trips}", zones=str(empty)))
    text = write(tmp_path / "trips.csv", taxi_lines(3))
    assert "not a GeoJSON" in refusal(TripFiles.of(f"tlc:{trips}", zones=str(text)))
    assert "not a Parquet file of trips" in refusal(TripFiles.of(f"tlc:{text}", zones=str(zones)))


def test_row_that_no_block_holds_is_refused_when_it_is_read(tmp_path: Path) -> None:
    lines = taxi_lines(20)
    path = write(tmp_path / "trips.csv", [*lines[:9], "x" * 10_000_000, *lines[9:]])
    with pytest.raises(UsageError, match="a row longer than 4 MB"):
        read_columns(path, {"time": ("pickup_datetime",)}, Tally(), lambda share, text: None)


def test_open_quote_is_named_as_the_reason(tmp_path: Path) -> None:
    lines = taxi_lines(20)
    lines[5] = f'"{lines[5]}'
    tally = Tally()
    read_columns(write(tmp_path / "trips.csv", lines), {"time": ("pickup_datetime",)}, tally, lambda share, text: None)
    assert tally.rows()["reasons"] == {"after a quote that is not closed in its row": {"count": 16, "first_lines": [6]}}
