"""Taxi records are read with the places of their zones; unusable rows are counted by reason."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from eta_prediction.offline.trip_files.tally import Tally
from eta_prediction.offline.trip_files.tlc.zones import read_zones
from eta_prediction.offline.trip_files.trips import Trips, read_trips
from infra.build.trip_files import TripFiles
from infra.errors import UsageError
from tests.support.trip_files import LAT, LON, quiet


def read(path: Path, form: str = "taxi", **options: str) -> tuple[Trips, Tally]:
    tally = Tally()
    return read_trips(TripFiles.of(f"{form}:{path}", **options), quiet, tally), tally


SQUARE = [[0.0, 0.0], [0.02, 0.0], [0.02, 0.01], [0.0, 0.01], [0.0, 0.0]]


def zones(path: Path, name: str = "LocationID") -> Path:
    """Zones 1 to 4 in a row of rectangles; zone 4 has two parts, and zone 1 a hole in the middle."""

    def ring(lon: float) -> list[list[float]]:
        return [[LON + lon + x, LAT + y] for x, y in SQUARE]

    def feature(zone: int, geometry: object) -> object:
        return {"type": "Feature", "properties": {name: str(zone), "zone": "x"}, "geometry": geometry}

    hole = [[LON + 0.01 + (x - 0.01) / 4, LAT + 0.005 + (y - 0.005) / 4] for x, y in SQUARE]
    features = [
        feature(1, {"type": "Polygon", "coordinates": [ring(0), hole[::-1]]}),
        *(feature(zone, {"type": "Polygon", "coordinates": [ring(0.02 * (zone - 1))]}) for zone in (2, 3)),
        feature(4, {"type": "MultiPolygon", "coordinates": [[ring(0.06)], [ring(0.08)[::-1]]]}),
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.mark.parametrize("name", ["LocationID", "location_id", "objectid", "OBJECTID"])
def test_zones_have_the_centre_and_size_of_their_polygons(tmp_path: Path, name: str) -> None:
    found = read_zones(zones(tmp_path / "zones.geojson", name))
    assert found.id.tolist() == [1, 2, 3, 4]
    assert (found.lon - LON).tolist() == pytest.approx([0.01, 0.03, 0.05, 0.08], abs=1e-9)
    assert (found.lat - LAT).tolist() == pytest.approx([0.005] * 4, abs=1e-9)
    one = np.sqrt(0.02 * 0.01 * np.cos(np.radians(LAT + 0.005))) * 111_320
    assert found.size_m.tolist() == pytest.approx([one * np.sqrt(15 / 16), one, one, one * np.sqrt(2)], rel=1e-6)


def tlc(path: Path, rows: int = 300, prefix: str = "tpep_", **columns: object) -> Path:
    rng = np.random.default_rng(0)
    at = np.datetime64("2024-03-12T08:00:00") + rng.integers(0, 86_400 * 20, rows).astype("timedelta64[s]")
    table = {
        f"{prefix}pickup_datetime": at.astype("datetime64[us]"),
        f"{prefix}dropoff_datetime": (at + np.timedelta64(900, "s")).astype("datetime64[us]"),
        "PULocationID": rng.integers(1, 5, rows).astype(np.int32),
        "DOLocationID": rng.integers(1, 5, rows).astype(np.int32),
    }
    pq.write_table(pa.table({**table, **columns}), path)
    return path


def test_records_with_zones_have_places_and_seconds(tmp_path: Path) -> None:
    at = [datetime(2024, 3, 10, 1, 50), datetime(2024, 3, 10, 2, 30), datetime(2024, 11, 3, 1, 30)]
    then = [datetime(2024, 3, 10, 3, 5), datetime(2024, 3, 10, 3, 5), datetime(2024, 11, 3, 1, 45)]
    usual = datetime(2024, 3, 12, 8, 0), datetime(2024, 3, 12, 8, 15)
    more = 297
    path = tlc(
        tmp_path / "trips.parquet",
        tpep_pickup_datetime=[*at, *[usual[0]] * more],
        tpep_dropoff_datetime=[*then, *[usual[1]] * more],
        DOLocationID=pa.array([2, 2, 2, None, 265, *[1] * (more - 2)], pa.int64()),
    )
    trips, tally = read(path, "tlc", zones=str(zones(tmp_path / "zones.geojson")))
    assert trips.seconds[0] == 15 * 60, "the clocks go forward between departure and arrival"
    assert set(trips.seconds[1:]) == {900.0}
    assert {reason: refused.first for reason, refused in tally.refused.items()} == {
        "in an hour that the change of the clocks repeats or skips": [2, 3],
        "a zone is blank": [4],
        "a zone without a place in the GeoJSON": [5],
    }
    assert (tally.lines, tally.good) == (300, 296)
    inside = trips.from_zone == trips.to_zone
    assert inside.any()
    assert (trips.line_m[inside] == 0).all(), "a trip inside one zone is possible"


def test_records_of_other_taxis_have_other_names(tmp_path: Path) -> None:
    area = str(zones(tmp_path / "zones.geojson"))
    for prefix in ("lpep_", ""):
        trips, _ = read(tlc(tmp_path / "trips.parquet", prefix=prefix), "tlc", zones=area)
        assert len(trips) == 300


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("trips", "pickup,dropoff\n1,2\n", "not a Parquet file"),
        ("zones", "{}", "not a GeoJSON"),
        ("zones", "[1, 2", "not a GeoJSON"),
        ("zones", '{"features": []}', "has no zones"),
        ("zones", '{"features": [{"properties": {"a": 1}, "geometry": null}]}', "no property LocationID"),
        ("zones", '{"features": [{"properties": {"id": 1}, "geometry": null}]}', "without an id or a polygon"),
        (
            "zones",
            '{"features": [{"properties": {"id": 1}, "geometry": {"type": "Polygon", "coordinates": '
            "[[[1, 1], [2, 1], [NaN, 2]]]}}]}",
            "without an id or a polygon",
        ),
        (
            "zones",
            '{"features": [{"properties": {"id": 1}, "geometry": {"type": "Polygon", "coordinates": '
            "[[[933100, 192536], [933091, 192572], [932000, 192000]]]}}]}",
            "area in degrees",
        ),
        (
            "zones",
            '{"features": [{"properties": {"id": 900}, "geometry": {"type": "Polygon", "coordinates": '
            "[[[1, 1], [2, 1], [2, 2]]]}}]}",
            "no zone of",
        ),
    ],
)
def test_files_that_are_no_records_or_zones_are_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    paths = {"trips": tlc(tmp_path / "trips"), "zones": zones(tmp_path / "zones")}
    paths[name].write_text(text)
    with pytest.raises(UsageError, match=message):
        read(paths["trips"], "tlc", zones=str(paths["zones"]))


def test_records_without_zones_are_refused_with_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "trips.parquet"
    pq.write_table(pa.table({"tpep_pickup_datetime": [1], "total": [2.0]}), path)
    with pytest.raises(UsageError, match="no column tpep_dropoff_datetime") as caught:
        read(path, "tlc", zones=str(zones(tmp_path / "zones.geojson")))
    assert "total" in caught.value.hint
