"""The road graph of the city: a jittered grid with arterials, a river with few bridges, motorways and an airport.

Lengths are in metres around the centre and become degrees at the end. The largest strongly connected part is kept, so
every pair of nodes has a path.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from eta_prediction.config import CityConfig
from eta_prediction.domain import ARTERIAL, DISTRICTS, LOCAL, MOTORWAY, SECTORS, Array, Bools, Ints, RoadGraph
from infra.simulation.streams import stream

METRES_PER_DEGREE = 111_320.0
WINDING = 1.05
"""length of an edge over the straight line between its ends"""
RING, RADIALS = 0.62, (0.35, 0.35 + np.pi / 2)
"""radius of the motorway ring as a share of half the city's width, and the angles of the motorways through the city"""
RAMP_EVERY = 3
CENTRE, INNER = 0.25, 0.65
"""radii of the central district and of the six around it, as shares of half the width; twelve lie outside"""


@dataclass
class _Streets:
    """Nodes and directed edges while the city is built."""

    x: Array
    y: Array
    tail: list[Ints] = field(default_factory=list)
    head: list[Ints] = field(default_factory=list)
    road: list[Ints] = field(default_factory=list)

    def add_nodes(self, x: Array, y: Array) -> Ints:
        first = len(self.x)
        self.x, self.y = np.r_[self.x, x], np.r_[self.y, y]
        return first + np.arange(len(x))

    def add_edges(self, tail: Ints, head: Ints, road: int) -> None:
        self.tail.append(tail)
        self.head.append(head)
        self.road.append(np.full(len(tail), road))

    def add_both_ways(self, one: Ints, other: Ints, road: int) -> None:
        self.add_edges(one, other, road)
        self.add_edges(other, one, road)

    def nearest(self, node: int, among: Ints) -> int:
        return int(among[np.hypot(self.x[among] - self.x[node], self.y[among] - self.y[node]).argmin()])


def make_city(config: CityConfig, seed: int) -> RoadGraph:
    half = _half_width(config)
    streets, crossings = _grid(config, seed, half)
    airport = _motorways(streets, crossings, half, config.spacing_m)
    return _finished(streets, airport, half, config)


def crosses_river(config: CityConfig, graph: RoadGraph) -> Bools:
    """bool[edges]: the edges from one bank of the river to the other."""
    east_m = METRES_PER_DEGREE * np.cos(np.radians(config.lat))
    x, y = (graph.lon - config.lon) * east_m, (graph.lat - config.lat) * METRES_PER_DEGREE
    north = _is_north(x, y, _half_width(config))
    found: Bools = north[graph.tail] != north[graph.head]
    return found


def _half_width(config: CityConfig) -> float:
    return (config.side - 1) * config.spacing_m / 2


def _is_north(x: Array, y: Array, half: float) -> Bools:
    """The points north of the river."""
    bank = 0.12 * half * np.sin(1.1 * np.pi * x / half) - 0.18 * half
    north: Bools = y > bank
    return north


def _grid(config: CityConfig, seed: int, half: float) -> tuple[_Streets, Ints]:
    """Local streets and arterials, and the nodes where two arterials cross."""
    rng, n, gap = stream(seed, "city"), config.side, config.spacing_m
    row, column = np.divmod(np.arange(n * n), n)
    jitter = rng.normal(0, 0.12 * gap, (2, n * n))
    streets = _Streets(column * gap - half + jitter[0], row * gap - half + jitter[1])
    on_row, on_column = (line % config.every == config.every // 2 for line in (row, column))
    east, north = np.flatnonzero(column < n - 1), np.flatnonzero(row < n - 1)
    one, other = np.r_[east, north], np.r_[east + 1, north + n]
    line = np.r_[row[east], column[north]]
    is_arterial = np.r_[on_row[east], on_column[north]]
    kept = is_arterial | (rng.random(len(one)) < config.kept_local)
    kept &= ~_is_cut_by_river(config, streets, one, other, is_arterial, half)
    one, other, line, is_arterial = one[kept], other[kept], line[kept], is_arterial[kept]
    streets.add_both_ways(one[is_arterial], other[is_arterial], ARTERIAL)
    in_centre = np.hypot(streets.x[one], streets.y[one]) < 0.35 * half
    for direction in (0, 1):  # local streets of the centre are one-way, in alternating directions
        chosen = ~is_arterial & (~in_centre | (line % 2 == direction))
        ends = (one, other) if direction == 0 else (other, one)
        streets.add_edges(ends[0][chosen], ends[1][chosen], LOCAL)
    return streets, np.flatnonzero(on_row & on_column)


def _is_cut_by_river(
    config: CityConfig, streets: _Streets, one: Ints, other: Ints, is_arterial: Bools, half: float
) -> Bools:
    """Edges that cross the river, but for the arterials that carry a bridge."""
    north = _is_north(streets.x, streets.y, half)
    crosses = north[one] != north[other]
    column = one % config.side
    arterials = np.unique(column[crosses & is_arterial])
    wanted = np.linspace(0.08, 0.92, config.bridges) * config.side
    bridges = arterials[np.abs(arterials[:, None] - wanted).argmin(0)] if len(arterials) else arterials
    cut: Bools = crosses & ~(is_arterial & np.isin(column, bridges) & (other == one + config.side))
    return cut


def _motorways(streets: _Streets, crossings: Ints, half: float, gap: float) -> int:
    """A ring and straight lines through the city, with ramps to arterials. Returns the airport, the end of a line."""
    count = max(16, int(2 * np.pi * RING * half / (4 * gap)))
    angle = np.arange(count) * 2 * np.pi / count
    ring = streets.add_nodes(RING * half * np.cos(angle), RING * half * np.sin(angle))
    streets.add_both_ways(ring, np.roll(ring, -1), MOTORWAY)
    lines = [ring]
    for angle_of_line in RADIALS:
        at = np.linspace(-1.02 * half, 1.02 * half, max(12, int(2 * half / (3 * gap))))
        line = streets.add_nodes(np.cos(angle_of_line) * at, np.sin(angle_of_line) * at)
        streets.add_both_ways(line[:-1], line[1:], MOTORWAY)
        for side in np.array_split(line, 2):  # an interchange on each side of the ring
            away = np.abs(np.hypot(streets.x[side], streets.y[side]) - RING * half)
            node = int(side[away.argmin()])
            streets.add_both_ways(np.array([node]), np.array([streets.nearest(node, ring)]), MOTORWAY)
        lines.append(line)
    for line in lines:
        nodes = np.unique(np.r_[line[::RAMP_EVERY], line[-1]])
        ramps = np.array([streets.nearest(int(node), crossings) for node in nodes])
        streets.add_both_ways(nodes, ramps, ARTERIAL)
    return int(lines[-1][-1])


def _finished(streets: _Streets, airport: int, half: float, config: CityConfig) -> RoadGraph:
    tail, head, road = (np.concatenate(part) for part in (streets.tail, streets.head, streets.road))
    nodes = len(streets.x)
    _, part = connected_components(
        csr_array((np.ones(len(tail)), (tail, head)), shape=(nodes, nodes)), connection="strong"
    )
    kept = part == np.bincount(part).argmax()
    number = np.cumsum(kept) - 1
    inside = kept[tail] & kept[head]
    tail, head, road = number[tail[inside]], number[head[inside]], road[inside]
    x, y = streets.x[kept], streets.y[kept]
    length_m = np.maximum(np.hypot(x[tail] - x[head], y[tail] - y[head]) * WINDING, 10.0)
    turn = np.mod(np.arctan2(y, x), 2 * np.pi) / (2 * np.pi)
    radius = np.hypot(x, y) / half
    district = np.where(
        radius < CENTRE, 0, np.where(radius < INNER, 1 + (turn * 6).astype(int), 7 + (turn * 12).astype(int))
    )
    sector = (turn[tail] * SECTORS).astype(int)
    arterials_in = np.bincount(head[road == ARTERIAL], minlength=len(x))
    east_m = METRES_PER_DEGREE * np.cos(np.radians(config.lat))
    return RoadGraph(
        lon=config.lon + x / east_m,
        lat=config.lat + y / METRES_PER_DEGREE,
        tail=tail,
        head=head,
        road=road,
        length_m=length_m,
        free_s=length_m / (np.array(config.speed_kmh)[road] / 3.6),
        group=np.where(road == MOTORWAY, 2 * DISTRICTS + sector, 2 * district[tail] + road),
        district=district,
        is_signal=arterials_in >= 3,
        airport=int(number[airport]),
    )
