"""Reads taxi zones from a GeoJSON. A zone stands for its centre of area."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eta_prediction.domain import Array, Bools, Ints
from eta_prediction.offline.trip_files.places import is_place
from eta_prediction.offline.trip_files.rows import opened
from infra.build.real_files import size_of
from infra.errors import UsageError
from infra.routing.snap import METRES_PER_DEGREE

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
    if not rows:
        raise UsageError(f"{path} has no zones: its list of features is empty")
    name = _id_name(path, [properties for properties, _ in rows])
    sums: dict[int, Array] = {}
    for properties, geometry in rows:
        try:
            zone = int(float({key.lower(): value for key, value in properties.items()}[name]))
            sums[zone] = sums.get(zone, np.zeros(3)) + _moments(geometry)
        except (KeyError, TypeError, ValueError, IndexError):
            raise UsageError(
                f"{path} has a feature without an id or a polygon", hint=f"its properties: {str(properties)[:80]}"
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
            if not np.isfinite(points).all():
                raise ValueError("a point of the ring is not finite")
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
