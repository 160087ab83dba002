"""Many routes as flat arrays, sums along them, and their turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from infra.routing.topology import Array, Ints, Topology

SHARP = 0.7
"""change of direction in radians that counts as a turn"""


@dataclass(frozen=True)
class Routes:
    """`edges` int64[m] of all trips in driving order, `owner` int64[m] the trip of each edge (ascending), `trips` the
    number of trips."""

    edges: Ints
    owner: Ints
    trips: int

    @classmethod
    def of(cls, paths: list[Ints]) -> Routes:
        lengths = np.array([len(path) for path in paths], np.int64)
        edges = np.concatenate(paths) if paths else np.zeros(0, np.int64)
        return cls(edges.astype(np.int64), np.repeat(np.arange(len(paths)), lengths), len(paths))

    @cached_property
    def first(self) -> Ints:
        """int64[trips]: where the edges of each trip begin."""
        return np.searchsorted(self.owner, np.arange(self.trips))

    @cached_property
    def goes_on(self) -> npt.NDArray[np.bool_]:
        """bool[m]: False at the first edge of each route."""
        found = np.zeros(len(self.owner), np.bool_)
        np.equal(self.owner[1:], self.owner[:-1], out=found[1:])
        return found

    def total(self, values: Array) -> Array:
        """float64[trips]: the sum over each trip's edges."""
        return np.bincount(self.owner, values, self.trips).astype(np.float64)

    def totals(self, values: Sequence[Array | npt.NDArray[np.bool_]]) -> Array:
        """float64[len(values), trips]: like `total` for each of `values`, if every trip has an edge."""
        found: Array = np.add.reduceat(np.stack(values), self.first, axis=1)
        return found

    def before(self, values: Array) -> Array:
        """float64[m]: the sum over the earlier edges of the same trip."""
        running = np.cumsum(values) - values
        if not len(running):
            return running
        found: Array = running - running.take(self.first, mode="clip")[self.owner]
        return found


def directions(topology: Topology) -> Array:
    """float64[edges]: the direction of each edge in radians, counterclockwise from east."""
    east = np.cos(np.radians(topology.lat.mean()))
    tail, head = topology.tail, topology.head
    found: Array = np.arctan2(topology.lat[head] - topology.lat[tail], (topology.lon[head] - topology.lon[tail]) * east)
    return found


def turns(direction: Array, routes: Routes) -> npt.NDArray[np.bool_]:
    """bool[m]: edges of the routes that begin with a turn. The first edge of a route begins with none.

    `direction` float64[edges] is what `directions` returns.
    """
    angle = direction[routes.edges]
    is_turn = np.zeros(len(angle), np.bool_)
    change = np.abs((angle[1:] - angle[:-1] + np.pi) % (2 * np.pi) - np.pi)
    np.greater(change, SHARP, out=is_turn[1:])
    found: npt.NDArray[np.bool_] = is_turn & routes.goes_on
    return found
