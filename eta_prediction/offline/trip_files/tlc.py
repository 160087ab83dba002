"""Reads trip records of New York's taxi commission: Parquet files with zones and local times, and a GeoJSON of zones.

A zone stands for its centre of area. The trip times are differences of instants, so a change of the clocks does not
move them; trips in the repeated hour are counted and left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from eta_prediction.domain import Array, Bools, Ints
from eta_prediction.offline.trip_files.maps.road_map import is_place
from eta_prediction.offline.trip_files.rows import Tally, opened
from eta_prediction.offline.trip_files.trips import Trips, without
from infra.build.click_log import size_of
from infra.columns import seconds
from infra.errors import LabError, UsageError
from infra.progress import Progress
from infra.routing.snap import METRES_PER_DEGREE

TIME_ZONE = "America/New_York"
COLUMNS = {
    "pickup": ("tpep_pickup_datetime", "lpep_pickup_datetime", "pickup_datetime"),
    "dropoff": ("tpep_dropoff_datetime", "lpep_dropoff_datetime", "dropoff_datetime"),
    "from": ("PULocationID",),
    "to": ("DOLocationID",),
}
ID_NAMES = ("locationid", "location_id", "objectid", "zone_id", "id")
"""properties that hold the id of a zone, in lower case; the first one that is there counts"""
LARGEST_GEOJSON = 1 << 28


@dataclass(frozen=True)
class Zones:
    """The zones in ascending order of `id` int64[zones]: centre in degrees and `size_m`, the root of the area."""

    id: Ints
    lon: Array
    lat: Array
    size_m: Array

    def rows(self, ids: Ints) -> tuple[Ints, Bools]:
        """(row of each id, mask of the ids that are zones)."""
        at = np.searchsorted(self.id, ids).clip(0, len(self.id) - 1)
        return at, self.id[at] == ids


def read_tlc(path: Path, zones_path: Path, report: Progress, tally: Tally) -> Trips:
    """Trips with both zones known. Raises `UsageError` if a file is not what it claims."""
    zones = read_zones(zones_path)
    table = _table(path)
    report(0.5, f"{table.num_rows:,} rows")
    tally.lines += table.num_rows
    begin, begin_s, lost_begin = _instants(table["pickup"])
    end, _, lost_end = _instants(table["dropoff"])
    ids, missing = {}, np.zeros(table.num_rows, bool)
    for name in ("from", "to"):
        values = table[name].to_numpy()
        known = np.isfinite(values)
        missing |= ~known
        ids[name] = np.where(known, values, -1).astype(np.int64)
    (one, has_one), (other, has_other) = (zones.rows(ids[name]) for name in ("from", "to"))
    blur_m = (zones.size_m[one] + zones.size_m[other]) / 2
    trips = Trips(
        begin,
        begin_s,
        end - begin,
        *(zones.lon[one], zones.lat[one], zones.lon[other], zones.lat[other]),
        np.arange(1, table.num_rows + 1),
        *(ids["from"], ids["to"], blur_m),
    )
    reasons = [
        ("a time is blank", np.isnan(begin_s) | (np.isnan(end) & ~lost_end)),
        ("in an hour that the change of the clocks repeats or skips", lost_begin | lost_end),
        ("a zone is blank", missing),
        ("a zone without a place in the GeoJSON", ~(has_one & has_other)),
    ]
    report(1.0, f"{table.num_rows:,} rows")
    if table.num_rows and not (has_one & has_other).any():
        raise UsageError(
            f"no zone of {path} is in {zones_path}",
            hint=f"the GeoJSON has the ids {zones.id[0]} to {zones.id[-1]}, the first trip begins in {ids['from'][0]}",
        )
    return without(trips, reasons, tally)


def read_zones(path: Path) -> Zones:
    """The zones of a GeoJSON with polygons in degrees. Features with the same id are one zone."""
    if size_of(path) > LARGEST_GEOJSON:
        raise UsageError(f"{path} is too large for zones", hint="a GeoJSON of taxi zones has a few megabytes")
    with opened(path) as (content, _):
        text = content.read()
    try:
        features = json.loads(text)["features"]
        rows = [(feature["properties"] or {}, feature["geometry"]) for feature in features]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f"{path} is not a GeoJSON of features", hint="expected: a FeatureCollection of zones"
        ) from None
    name = _id_name(path, [properties for properties, _ in rows])
    sums: dict[int, Array] = {}
    for properties, geometry in rows:
        try:
            zone = int(float({key.lower(): value for key, value in properties.items()}[name]))
            sums[zone] = sums.get(zone, np.zeros(3)) + _moments(geometry)
        except (KeyError, TypeError, ValueError, IndexError):
            raise UsageError(
                f"{path} has a feature without an id or a polygon", hint=f"{str(properties)[:80]}"
            ) from None
    ids = np.array(sorted(sums), np.int64)
    area, east, north = np.array([sums[int(zone)] for zone in ids]).T
    with np.errstate(invalid="ignore", divide="ignore"):
        lon, lat = east / area, north / area
    if not len(ids) or not is_place(lon, lat).all():
        raise UsageError(
            f"{path} has zones without an area in degrees",
            hint="project the GeoJSON to longitude and latitude (EPSG:4326)",
        )
    return Zones(ids, lon, lat, np.sqrt(area * np.cos(np.radians(lat))) * METRES_PER_DEGREE)


def _moments(geometry: dict[str, Any]) -> Array:
    """(area, area × longitude, area × latitude) of a polygon or multipolygon in degrees, without its holes."""
    kind, parts = geometry["type"], geometry["coordinates"]
    if kind not in ("Polygon", "MultiPolygon"):
        raise ValueError(kind)
    total = np.zeros(3)
    for rings in parts if kind == "MultiPolygon" else [parts]:
        for number, ring in enumerate(rings):
            points = np.array([point[:2] for point in ring], np.float64)
            x, y = (points - points[0]).T  # products of large numbers would cancel
            cross = x * np.roll(y, -1) - np.roll(x, -1) * y
            area = cross.sum() / 2
            if area:
                east, north = (
                    ((values + np.roll(values, -1)) * cross).sum() / 6 + area * first
                    for values, first in zip((x, y), points[0], strict=True)
                )
                total += np.array([area, east, north]) * np.sign(area) * (1 if number == 0 else -1)
    return total


def _id_name(path: Path, properties: Sequence[dict[str, Any]]) -> str:
    names = {key.lower() for row in properties for key in row}
    for name in ID_NAMES:
        if name in names:
            return name
    raise UsageError(
        f"{path} has no property LocationID", hint=f"properties: {', '.join(sorted(names)[:20]) or 'none'}"
    )


def _table(path: Path) -> pa.Table:
    """The columns pickup, dropoff, from and to, with zones as float64."""
    size_of(path)
    try:
        file = pq.ParquetFile(path)
        there = {name.lower(): name for name in file.schema_arrow.names}
        names = {
            role: next((there[n.lower()] for n in known if n.lower() in there), "") for role, known in COLUMNS.items()
        }
        for role, name in names.items():
            if not name:
                shown = ", ".join(file.schema_arrow.names[:40])
                raise UsageError(f"{path} has no column {COLUMNS[role][0]}", hint=f"columns: {shown}")
        table = file.read(columns=list(names.values()))
        table = pa.table({role: table[name] for role, name in names.items()})
        columns = {role: table[role] for role in names}
        for role, column in columns.items():
            if role in ("from", "to"):
                columns[role] = column.cast(pa.float64())
            elif not pa.types.is_timestamp(column.type):
                columns[role] = column.cast(pa.timestamp("us"))
        table = pa.table(columns)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise UsageError(f"{path} is not a Parquet file of trips: {str(exc)[:120]}") from None
    except OSError as exc:
        raise LabError(f"{path} is damaged: {str(exc)[:120]}", hint="download the file again") from None
    return table


def _instants(column: pa.ChunkedArray) -> tuple[Array, Array, Bools]:
    """(instants, times on the local clock, mask of the times that are no unique instant) in seconds since 1970."""
    times = pd.DatetimeIndex(pd.Series(column.to_pandas()))
    zoned = (
        times.tz_localize(TIME_ZONE, ambiguous="NaT", nonexistent="NaT")
        if times.tz is None
        else times.tz_convert(TIME_ZONE)
    )
    instant = seconds(zoned.tz_convert("UTC").tz_localize(None).to_numpy())
    clock = seconds(zoned.tz_localize(None).to_numpy() if times.tz is not None else times.to_numpy())
    return instant, clock, np.isnan(instant) & ~np.isnan(clock)
