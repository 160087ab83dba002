"""Reads a street network that OSMnx saved as GraphML, plain or gzipped."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from eta_prediction.domain import Array, Bools
from eta_prediction.offline.trip_files.maps.graphml_parser import GraphmlParser
from eta_prediction.offline.trip_files.maps.road_map import (
    DETOUR,
    LONGEST_EDGE_M,
    RoadMap,
    check_share,
    keep_connected,
)
from eta_prediction.offline.trip_files.maps.tags import kmh_of, road_of, values_of
from eta_prediction.offline.trip_files.places import is_place
from eta_prediction.offline.trip_files.tally import Tally
from infra.errors import LabError, UsageError
from infra.progress import Progress
from infra.routing.snap import great_circle_m
from infra.routing.topology import Topology

MOST_BAD = 0.5
NOT_FOR_CARS = "not for cars"


def read_graphml(path: Path, report: Progress, tally: Tally) -> RoadMap:
    """The connected part of the map. Raises `UsageError` if the file is no GraphML of streets."""
    tally.what = "nodes and edges"
    parsed = GraphmlParser(path)
    parsed.parse(report)
    number, lon, lat, signal = _nodes(parsed, tally)
    rows: list[tuple[int, int, float, float, int]] = []
    counted = {"no maxspeed": 0, "maxspeed unreadable or absurd": 0, "no length": 0, "length absurd": 0}
    for line, tail, head, data in parsed.edges:
        tally.lines += 1
        road = road_of(data.get("highway", "road"))
        one, other = number.get(tail), number.get(head)
        if one is None or other is None:
            tally.refuse("an edge of a node without a place", [line])
        elif one == other:
            tally.refuse("an edge from a node to itself", [line])
        elif road is None:
            tally.refuse(f"{NOT_FOR_CARS}: {', '.join(values_of(data['highway'])) or 'blank'}", [line])
        else:
            straight = float(great_circle_m(lon[one], lat[one], lon[other], lat[other]))
            length = _length(data.get("length"), straight, counted)
            if length > LONGEST_EDGE_M:
                tally.refuse("an edge longer than 200 km", [line])
                continue
            kmh = _limit(data, road[1], counted)
            rows.append((one, other, length, length / (kmh / 3.6), road[0]))
            oneway = data.get("oneway", "").strip().lower()
            if not parsed.is_directed and oneway not in ("true", "yes", "1", "-1", "reverse"):
                rows.append((other, one, length, length / (kmh / 3.6), road[0]))
            elif oneway in ("-1", "reverse") and not parsed.is_directed:
                rows[-1] = (other, one, *rows[-1][2:])
    tally.good = tally.lines - tally.bad
    on_foot = sum(refused.count for reason, refused in tally.refused.items() if reason.startswith(NOT_FOR_CARS))
    check_share(path.name, tally, MOST_BAD, "nodes and edges", expected=on_foot)
    table = np.array(rows, np.float64).reshape(-1, 5)
    facts = {"format": "graphml", "files": [path.name], "replaced": {name: n for name, n in counted.items() if n}}
    tails, heads, classes = (table[:, at].astype(np.int64) for at in (0, 1, 4))
    found = RoadMap(Topology(tails, heads, lon, lat), table[:, 2], table[:, 3], classes, signal, facts)
    return keep_connected(found, path.name)


def _limit(data: dict[str, str], usual_kmh: float, counted: dict[str, int]) -> float:
    text = data.get("maxspeed") or data.get("speed_kph") or ""
    kmh = kmh_of(text)
    if kmh is None:
        counted["maxspeed unreadable or absurd" if text.strip() not in ("", "nan", "None") else "no maxspeed"] += 1
    return kmh or usual_kmh


def _length(text: str | None, straight_m: float, counted: dict[str, int]) -> float:
    """Metres; the straight line where the length is missing or shorter than it. Merged edges may list lengths."""
    try:
        found = sum(float(value) for value in values_of(text or ""))
    except ValueError:
        found = math.nan
    if not text or not found > 0 or not math.isfinite(found):
        counted["no length" if not text else "length absurd"] += 1
        found = straight_m
    elif found < DETOUR * straight_m - 1.0:
        counted["length absurd"] += 1
        found = straight_m
    return max(found, 1.0)


def _nodes(parsed: GraphmlParser, tally: Tally) -> tuple[dict[str, int], Array, Array, Bools]:
    places: list[tuple[float, float, bool]] = []
    number: dict[str, int] = {}
    projected = 0
    for line, name, data in parsed.nodes:
        tally.lines += 1
        lon, lat = _degrees(data)
        if name in number:
            tally.refuse("a node that is there twice", [line])
        elif is_place(np.array([lon]), np.array([lat]))[0]:
            number[name] = len(places)
            places.append((lon, lat, "traffic_signals" in data.get("highway", "")))
        else:
            projected += abs(lon) > 180 or abs(lat) > 90
            tally.refuse("a node without a place on earth", [line])
    if projected > len(places):
        raise UsageError(
            f"{parsed.path} is projected: its nodes are not in degrees",
            hint="save the graph before ox.project_graph, or project it back to EPSG:4326",
        )
    if not places:
        raise LabError(f"{parsed.path} has no node with a place", hint="nodes need the attributes x and y in degrees")
    lons, lats, signals = zip(*places, strict=True)
    return number, np.array(lons), np.array(lats), np.array(signals, bool)


def _degrees(data: dict[str, str]) -> tuple[float, float]:
    """Longitude and latitude. A projected graph keeps them as `lon` and `lat`."""
    x, y, lon, lat = (_number(data.get(name)) for name in ("x", "y", "lon", "lat"))
    is_projected = not abs(x) <= 180 and abs(lon) <= 180
    return (lon, lat) if is_projected else (x, y)


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan
