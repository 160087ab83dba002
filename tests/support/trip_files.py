"""Generates small maps and trip files for tests."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from eta_prediction.domain import ARTERIAL
from eta_prediction.offline.trip_files.maps.road_map import RoadMap
from infra.routing.topology import Topology

LON, LAT = 10.0, 50.0
METRE_LAT, METRE_LON = 1 / 111_320.0, 1 / (111_320.0 * np.cos(np.radians(LAT)))
TAXI_HEADER = (
    "id,pickup_datetime,pickup_longitude,pickup_latitude,dropoff_longitude,dropoff_latitude,store_and_fwd_flag,"
    "trip_duration"
)


def quiet(share: float, text: str) -> None:
    """A progress callback that checks the share."""
    assert 0 <= share <= 1


def grid(side: int = 12, spacing_m: float = 400.0, kmh: float = 36.0) -> RoadMap:
    """A square grid of two-way streets; every edge takes its length at `kmh`."""
    row, column = np.divmod(np.arange(side * side), side)
    east, north = np.flatnonzero(column < side - 1), np.flatnonzero(row < side - 1)
    one, other = np.r_[east, north], np.r_[east + 1, north + side]
    tail, head = np.r_[one, other], np.r_[other, one]
    length_m = np.full(len(tail), spacing_m)
    place = Topology(tail, head, LON + column * spacing_m * METRE_LON, LAT + row * spacing_m * METRE_LAT)
    none = np.zeros(side * side, bool)
    return RoadMap(place, length_m, length_m / (kmh / 3.6), np.full(len(tail), ARTERIAL), none, {})


def write_dimacs(directory: Path, found: RoadMap, *, packed: bool = False, kinds: str = "dt") -> Path:
    """The map as `city-d.gr` (tenths of a metre), `city-t.gr` (hundredths of a second) and `city.co`."""
    directory.mkdir(parents=True, exist_ok=True)
    graph = found.topology
    files = {"city.co": [f"p aux sp co {graph.nodes}"]}
    for node, (lon, lat) in enumerate(zip(graph.lon, graph.lat, strict=True), 1):
        files["city.co"].append(f"v {node} {round(lon * 1e6)} {round(lat * 1e6)}")
    for kind in kinds:
        weights = np.rint(found.length_m * 10 if kind == "d" else found.free_s * 100).astype(int)
        files[f"city-{kind}.gr"] = ["c a comment", f"p sp {graph.nodes} {graph.edges}"] + [
            f"a {tail + 1} {head + 1} {weight}"
            for tail, head, weight in zip(graph.tail, graph.head, weights, strict=True)
        ]
    for name, lines in files.items():
        write(directory / f"{name}{'.gz' if packed else ''}", lines, packed=packed)
    return directory


def graphml(nodes: Sequence[dict[str, str]], edges: Sequence[dict[str, str]], directed: bool = True) -> str:
    """GraphML as OSMnx writes it. A node has `id`, an edge `source` and `target`; the rest are attributes."""
    names = sorted({name for part in (*nodes, *edges) for name in part} - {"id", "source", "target"})
    keys = {name: f"d{number}" for number, name in enumerate(names)}

    def data(part: dict[str, str]) -> str:
        return "".join(f'<data key="{keys[name]}">{value}</data>' for name, value in part.items() if name in keys)

    return "\n".join(
        [
            "<?xml version='1.0' encoding='utf-8'?>",
            '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">',
            *(f'<key id="{key}" for="all" attr.name="{name}" attr.type="string" />' for name, key in keys.items()),
            f'<graph edgedefault="{"directed" if directed else "undirected"}">',
            *(f'<node id="{node["id"]}">{data(node)}</node>' for node in nodes),
            *(f'<edge source="{edge["source"]}" target="{edge["target"]}">{data(edge)}</edge>' for edge in edges),
            "</graph></graphml>",
        ]
    )


def write_graphml(path: Path, found: RoadMap) -> Path:
    """The map as OSMnx writes it, with speed limits as lists in text and in miles, and footpaths beside the streets."""
    graph = found.topology
    nodes = [
        {"id": str(10_000 + node), "x": str(lon), "y": str(lat)}
        for node, (lon, lat) in enumerate(zip(graph.lon, graph.lat, strict=True))
    ]
    limits = ("36", "['36', '36 km/h']", "22.3694 mph")
    edges = [
        {
            "source": str(10_000 + tail),
            "target": str(10_000 + head),
            "length": str(found.length_m[edge]),
            "maxspeed": limits[edge % len(limits)],
            "highway": "['residential', 'tertiary']" if edge % 2 else "tertiary",
        }
        for edge, (tail, head) in enumerate(zip(graph.tail, graph.head, strict=True))
    ]
    edges += [{**edge, "highway": "footway"} for edge in edges[:10]]
    path.write_text(graphml(nodes, edges))
    return path


def write_tlc(path: Path, rows: int, seed: int = 0) -> tuple[Path, Path]:
    """The trips of `taxi_lines` as the taxi commission writes them, `PATH.parquet`, and their zones, `PATH.geojson`.

    The zones are squares of three by three crossings, numbered from 1.
    """
    cells = [line.split(",") for line in taxi_lines(rows, seed)[1:]]
    begin = np.array([cell[1].replace(" ", "T") for cell in cells], "datetime64[us]")
    end = begin + np.array([int(cell[7]) for cell in cells]).astype("timedelta64[s]")
    side_lon, side_lat = 1200 * METRE_LON, 1200 * METRE_LAT
    west, south = LON - side_lon / 6, LAT - side_lat / 6
    ids = {}
    for name, at in (("PULocationID", 2), ("DOLocationID", 4)):
        lonlat = np.array([cell[at : at + 2] for cell in cells], np.float64)
        column, row = ((lonlat - (west, south)) / (side_lon, side_lat)).astype(np.int64).T
        ids[name] = 1 + row * 4 + column
    table = pa.table({"tpep_pickup_datetime": begin, "tpep_dropoff_datetime": end, **ids})
    pq.write_table(table, path.with_suffix(".parquet"))
    features = []
    for zone in range(16):
        row, column = divmod(zone, 4)
        ring = [
            [west + (column + x) * side_lon, south + (row + y) * side_lat]
            for x, y in ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))
        ]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": {"LocationID": zone + 1}, "geometry": geometry})
    path.with_suffix(".geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path.with_suffix(".parquet"), path.with_suffix(".geojson")


def write(path: Path, lines: Sequence[str], *, packed: bool = False) -> Path:
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text) if packed else text)
    return path


def taxi_lines(rows: int, seed: int = 0, *, factor: float = 1.6, fixed_s: float = 120.0, days: int = 20) -> list[str]:
    """Trips between crossings of `grid()`, in the taxi format, each of `fixed_s` plus `factor` times the fastest route
    plus noise. Evenings (16 to 19 h) are 30% slower, and so are trips that begin in the south-west quarter."""
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, 12, (rows, 4))
    ends[:, 2] = np.where((ends[:, :2] == ends[:, 2:]).all(axis=1), (ends[:, 2] + 1) % 12, ends[:, 2])
    route_s = np.abs(ends[:, :2] - ends[:, 2:]).sum(axis=1) * 40.0
    at = np.sort(rng.random(rows)) * days
    hour = at % 1 * 24
    slow = np.where((hour >= 16) & (hour < 19), 1.3, 1.0) * np.where((ends[:, 0] < 6) & (ends[:, 1] < 6), 1.3, 1.0)
    seconds = (fixed_s + factor * route_s * slow) * np.exp(0.15 * rng.normal(size=rows))
    times = np.datetime64("2026-03-02T00:00:00") + (at * 86_400).astype("timedelta64[s]")
    places = [
        (LON + 400 * METRE_LON * column, LAT + 400 * METRE_LAT * row)
        for column, row in ((ends[:, 0], ends[:, 1]), (ends[:, 2], ends[:, 3]))
    ]
    return [
        TAXI_HEADER,
        *(
            f"id{row},{str(times[row]).replace('T', ' ')},{places[0][0][row]:.6f},{places[0][1][row]:.6f},"
            f"{places[1][0][row]:.6f},{places[1][1][row]:.6f},N,{round(seconds[row])}"
            for row in range(rows)
        ),
    ]
