"""Routes of trips on a real map: snaps both ends to nodes, finds the fastest path under free-flow times, and sums it.

Without a map, the great-circle distance takes the place of the route.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eta_prediction.domain import MOTORWAY, Array, Bools, Ints
from eta_prediction.offline.trip_files.maps.road_map import RoadMap, cut, keep_connected
from eta_prediction.offline.trip_files.tally import Tally
from eta_prediction.offline.trip_files.trips import FEWEST, Trips, without
from infra.errors import UsageError
from infra.progress import Progress
from infra.routing.choose import find_order, open_engine
from infra.routing.routes import Routes, directions, turns
from infra.routing.snap import METRES_PER_DEGREE, Snapper

SNAP_M = 500.0
"""a trip that begins or ends farther from every node is outside the map"""
MARGIN_M = 10_000.0
"""the map is cut to the trips' box with this margin, since large maps slow every query down"""
MOST_KEPT = 0.7
"""share of nodes in the box from which cutting is not worth it"""
GREAT_CIRCLE_KMH = 25.0
"""speed on the great circle, without a map"""
PART = 20_000


@dataclass(frozen=True)
class RouteSums:
    """Sums of each trip's route. `by_road_s` float64[n, 3] are the free-flow seconds by class of road; the others are
    float64[n]. `line_m` is the great-circle distance."""

    line_m: Array
    length_m: Array
    by_road_s: Array
    turns: Array
    signals: Array

    @property
    def free_s(self) -> Array:
        found: Array = self.by_road_s.sum(axis=1)
        return found

    def take(self, rows: npt.NDArray[Any]) -> RouteSums:
        return RouteSums(*(values[rows] for values in vars(self).values()))


def great_circles(trips: Trips) -> RouteSums:
    """The sums without a map. Inside one zone, the distance is a share of its size."""
    line_m = np.maximum(trips.line_m, 0.5 * trips.blur_m)
    none = np.zeros(len(trips))
    by_road_s = np.stack([line_m / (GREAT_CIRCLE_KMH / 3.6), none, none], axis=1)
    return RouteSums(trips.line_m, line_m, by_road_s, none, none)


def routed(trips: Trips, road_map: RoadMap, report: Progress, tally: Tally) -> tuple[Trips, RouteSums, dict[str, Any]]:
    """The trips on the map, their routes, and facts of the map and the engine.

    Raises `UsageError` if too few trips are on the map.
    """
    report(0.0, "snapping trips to the map")
    count = len(trips)
    trips, ends = _on_map(trips, road_map, tally)
    road_map, trips, ends = _near(trips, road_map, ends, tally)
    many = road_map.topology.nodes
    pairs, pair = np.unique(ends[0] * many + ends[1], return_inverse=True)
    report(0.05, "ordering the nodes")
    engine = open_engine(road_map.topology, find_order(road_map.topology), road_map.free_s)
    direction = directions(road_map.topology)
    sums = np.zeros((len(pairs), 6))
    for first in range(0, len(pairs), PART):
        report(0.2 + 0.8 * first / len(pairs), f"{first:,} of {len(pairs):,} routes")
        part = pairs[first : first + PART]
        paths = [engine.path(*divmod(key, many)) for key in part.tolist()]
        routes = Routes.of([path.edges if path else np.zeros(0, np.int64) for path in paths])
        sums[first : first + len(part)] = _sums(road_map, routes, direction)
    found = RouteSums(
        trips.line_m, *(sums[pair, 0], sums[pair, 1 : 2 + MOTORWAY], sums[pair, 2 + MOTORWAY], sums[pair, 3 + MOTORWAY])
    )
    facts = {
        "snapped_share": round(len(trips) / count, 5),
        "routed_pairs": len(pairs),
        "engine": engine.name,
        "routed_nodes": many,
    }
    return trips, found, road_map.facts | facts


def _on_map(trips: Trips, road_map: RoadMap, tally: Tally) -> tuple[Trips, Ints]:
    """The trips with both ends on the map, and the nodes int64[2, n]."""
    snapper, nodes, wrong = Snapper(road_map.topology), [], np.zeros(len(trips), bool)
    for lon, lat in ((trips.from_lon, trips.from_lat), (trips.to_lon, trips.to_lat)):
        node, away_m = snapper.nearest(lon, lat)
        nodes.append(node)
        wrong |= away_m > SNAP_M + trips.blur_m
    kept = without(trips, [("outside the map", wrong)], tally)
    tally.good = len(kept)
    if len(kept) < max(FEWEST, 0.05 * len(trips)):
        raise UsageError(
            f"{int(wrong.sum()):,} of {len(trips):,} trips are outside the map", hint=_where(trips, road_map)
        )
    return kept, np.stack(nodes)[:, ~wrong]


def _where(trips: Trips, road_map: RoadMap) -> str:
    """Where the map and the trips are, and whether swapped columns explain the difference."""
    place = road_map.topology
    lon, lat = float(np.median(trips.from_lon)), float(np.median(trips.from_lat))
    text = (
        f"the map covers longitudes {place.lon.min():.3f} to {place.lon.max():.3f} and latitudes "
        f"{place.lat.min():.3f} to {place.lat.max():.3f}; the median trip begins at longitude {lon:.3f}, "
        f"latitude {lat:.3f}"
    )
    if place.lon.min() <= lat <= place.lon.max() and place.lat.min() <= lon <= place.lat.max():
        return f"longitude and latitude of the trips are swapped: {text}"
    return text


def _near(trips: Trips, road_map: RoadMap, ends: Ints, tally: Tally) -> tuple[RoadMap, Trips, Ints]:
    """The map cut to the box of the trips, if that makes it much smaller, with the trips snapped to it."""
    place = road_map.topology
    kept = np.ones(place.nodes, bool)
    for degrees, metres in ((place.lat, 1.0), (place.lon, float(np.cos(np.radians(place.lat).mean())))):
        spare = MARGIN_M / METRES_PER_DEGREE / max(metres, 0.05)
        kept &= (degrees >= degrees[ends].min() - spare) & (degrees <= degrees[ends].max() + spare)
    if kept.mean() > MOST_KEPT:
        return road_map, trips, ends
    smaller = keep_connected(cut(road_map, kept), "the part of the map around the trips")
    trips, ends = _on_map(trips, smaller, tally)
    return replace(smaller, facts=road_map.facts), trips, ends


def _sums(road_map: RoadMap, routes: Routes, direction: Array) -> Array:
    """float64[routes, 6]: metres, seconds by class of road, turns, signals."""
    edges = routes.edges
    is_turn: Bools = turns(direction, routes)
    is_signal: Bools = routes.goes_on & road_map.is_signal[road_map.topology.tail[edges]]
    free_s, road = road_map.free_s[edges], road_map.road[edges]
    return np.stack(
        [
            routes.total(road_map.length_m[edges]),
            *(routes.total(free_s * (road == kind)) for kind in range(MOTORWAY + 1)),
            routes.total(is_turn.astype(float)),
            routes.total(is_signal.astype(float)),
        ],
        axis=1,
    )
