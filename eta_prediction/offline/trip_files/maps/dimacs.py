"""Reads a map of the 9th DIMACS challenge: arcs in `.gr` files and coordinates in a `.co` file, plain or gzipped.

A `.gr` file holds either distances or travel times. The rule that decides: the name (`-d.`, `dist` or `-t.`, `time`);
without such a name, the weights are distances if nearly all are the same multiple of the straight line between the
ends, for one of the known units, and travel times otherwise. Neither file names its unit. The unit of distances is the
one of `METRES` that fits the coordinates best; the unit of times is the power of ten of a second that gives the most
plausible mean speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from eta_prediction.domain import ARTERIAL, Array, Ints
from eta_prediction.offline.trip_files.maps.dimacs_files import find_files, read_numbers
from eta_prediction.offline.trip_files.maps.road_map import (
    DETOUR,
    LONGEST_EDGE_M,
    RoadMap,
    check_share,
    keep_connected,
)
from eta_prediction.offline.trip_files.places import is_place
from eta_prediction.offline.trip_files.tally import Tally
from infra.errors import UsageError
from infra.progress import Progress
from infra.routing.snap import great_circle_m
from infra.routing.topology import LONGEST_S, Topology

METRES = MappingProxyType({"0.1 m": 0.1, "1 m": 1.0, "1 ft": 0.3048, "1 cm": 0.01, "1 mm": 0.001, "1 km": 1000.0})
SECONDS = MappingProxyType({"1 s": 1.0, "0.1 s": 0.1, "0.01 s": 0.01, "1 ms": 0.001})
PLAUSIBLE_KMH = 35.0
ASSUMED_KMH = 40.0
"""speed on a map that has distances only"""
SAME, NEARLY_ALL = 0.15, 0.8
"""distances: this share of the weights is within 15% of the median multiple of the straight line"""
MICRO = 1e6
MOST_BAD = 0.2


@dataclass(frozen=True)
class _Arcs:
    tail: Ints
    head: Ints
    weight: Ints
    line: Ints
    """line number in the file"""


def read_dimacs(directory: Path, report: Progress, tally: Tally) -> RoadMap:
    """The connected part of the map. Raises `UsageError` if the directory holds no pair of files, or more than one."""
    tally.what = "lines"
    coordinates, arcs_by_kind = find_files(directory)
    node_ids, lon, lat = _nodes(coordinates, tally, report)
    read = {kind: _arcs(path, node_ids, tally, report) for kind, path in arcs_by_kind.items()}
    straight = {kind: _straight(lon, lat, arcs) for kind, arcs in read.items()}
    if "unknown" in read:
        kind = "distance" if is_distance(read["unknown"].weight, straight["unknown"]) else "time"
        read, straight = {kind: read["unknown"]}, {kind: straight["unknown"]}
    facts: dict[str, object] = {
        "format": "dimacs",
        "files": [coordinates.name, *(path.name for path in arcs_by_kind.values())],
        "weights": sorted(read),
    }
    main = "distance" if "distance" in read else "time"
    arcs, line_m = read[main], straight[main]
    length_m = line_m
    if main == "distance":
        unit = unit_of(arcs.weight, line_m)
        facts["unit_of_distance"] = unit
        length_m = np.maximum(arcs.weight * METRES[unit], DETOUR * line_m)
    free_s = length_m / (ASSUMED_KMH / 3.6)
    if "time" in read:
        weight = _matched(arcs, read["time"])
        there = weight > 0
        unit = time_unit_of(weight[there], length_m[there])
        facts["unit_of_time"] = unit
        free_s = np.where(there, weight * SECONDS[unit], free_s)
    else:
        facts["assumed_kmh"] = ASSUMED_KMH
    usable = (length_m <= LONGEST_EDGE_M) & (free_s <= LONGEST_S)
    tally.refuse("an arc longer than 200 km or a day", arcs.line[~usable])
    tally.good = tally.lines - tally.bad
    check_share(directory.name, tally, MOST_BAD, "rows")
    found = RoadMap(
        Topology(arcs.tail[usable], arcs.head[usable], lon, lat),
        np.maximum(length_m[usable], 1.0),
        np.maximum(free_s[usable], 0.05),
        np.full(int(usable.sum()), ARTERIAL, np.int64),
        np.zeros(len(lon), bool),
        facts,
    )
    return keep_connected(found, directory.name)


def _nodes(path: Path, tally: Tally, report: Progress) -> tuple[Ints, Array, Array]:
    """Ids in ascending order, longitude and latitude."""
    rows, line = read_numbers(path, b"v", tally, report)
    lon, lat = rows[:, 1] / MICRO, rows[:, 2] / MICRO
    good = is_place(lon, lat)
    tally.refuse("a node without a place on earth", line[~good])
    rows, line, lon, lat = rows[good], line[good], lon[good], lat[good]
    ids, first = np.unique(rows[:, 0], return_index=True)
    tally.refuse("a second place of a node", np.delete(line, first))
    if not len(ids):
        raise UsageError(f"{path} has no node with a place on earth", hint="coordinates are in millionths of a degree")
    return ids, lon[first], lat[first]


def is_distance(weight: Ints, straight_m: Array) -> bool:
    """True if the weights are distances: nearly all are the same multiple of the straight line, for a known unit."""
    far = straight_m > 20
    if far.sum() < 10:
        return True
    ratio = weight[far] / straight_m[far]
    middle = float(np.median(ratio))
    is_known = min(abs(np.log(middle * metres)) for metres in METRES.values()) < 0.3
    return is_known and float((np.abs(ratio / middle - 1) < SAME).mean()) >= NEARLY_ALL


def unit_of(weight: Ints, straight_m: Array) -> str:
    """The unit of distances that fits the straight lines best."""
    far = straight_m > 20
    if not far.any():
        return "1 m"
    middle = max(float(np.median(weight[far] / straight_m[far])), 1e-12)
    # roads wind by some percent, which is less than the step between two units
    return min(METRES, key=lambda unit: abs(np.log(middle * METRES[unit] / 1.05)))


def time_unit_of(weight: Ints, length_m: Array) -> str:
    """The unit of travel times that makes the mean speed the most plausible."""
    per_unit = max(float(length_m.sum()), 1.0) / max(float(weight.sum()), 1.0)
    return min(SECONDS, key=lambda unit: abs(np.log(per_unit / SECONDS[unit] * 3.6 / PLAUSIBLE_KMH)))


def _arcs(path: Path, node_ids: Ints, tally: Tally, report: Progress) -> _Arcs:
    rows, line = read_numbers(path, b"a", tally, report)
    at = np.searchsorted(node_ids, rows[:, :2]).clip(0, len(node_ids) - 1)
    known, loop, positive = (node_ids[at] == rows[:, :2]).all(axis=1), rows[:, 0] == rows[:, 1], rows[:, 2] > 0
    tally.refuse("an arc of a node without coordinates", line[~known])
    tally.refuse("an arc from a node to itself", line[known & loop])
    tally.refuse("an arc with a weight that is not positive", line[known & ~loop & ~positive])
    good = known & ~loop & positive
    return _Arcs(at[good, 0], at[good, 1], rows[good, 2], line[good])


def _straight(lon: Array, lat: Array, arcs: _Arcs) -> Array:
    return great_circle_m(lon[arcs.tail], lat[arcs.tail], lon[arcs.head], lat[arcs.head])


def _matched(arcs: _Arcs, other: _Arcs) -> Ints:
    """int64[arcs]: the weights of the same arcs in another file, 0 where it has none. Files list arcs in one order."""
    if np.array_equal(arcs.tail, other.tail) and np.array_equal(arcs.head, other.head):
        return other.weight
    many = int(max(arcs.head.max(initial=0), other.head.max(initial=0))) + 1
    keys, order = np.unique(other.tail * many + other.head, return_index=True)
    wanted = arcs.tail * many + arcs.head
    at = np.searchsorted(keys, wanted).clip(0, max(len(keys) - 1, 0))
    return np.where(keys[at] == wanted, other.weight[order][at], 0) if len(keys) else np.zeros(len(wanted), np.int64)
