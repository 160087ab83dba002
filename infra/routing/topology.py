"""The fixed part of a road graph: nodes, directed edges and coordinates. Edge times are not part of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]
MS = 1000.0
LONGEST_S = 86_400.0
"""longest time of one edge. A path of 2**31 ms (25 days) and more does not fit into RoutingKit's weights and is not
found."""
CLOSED_MS = 2**31 - 1
"""weight of a closed edge: RoutingKit's infinity"""


@dataclass(frozen=True)
class Topology:
    """A directed graph. Edge i leads from `tail[i]` to `head[i]`; parallel edges and loops are allowed.

    `lon` and `lat` are float64[nodes] in degrees.
    """

    tail: Ints
    head: Ints
    lon: Array
    lat: Array

    def __post_init__(self) -> None:
        """Raises `ValueError` if the arrays do not form a graph."""
        if len(self.tail) != len(self.head) or len(self.lon) != len(self.lat):
            raise ValueError(
                f"the arrays differ in length: {len(self.tail)} tails and {len(self.head)} heads, "
                f"{len(self.lon)} longitudes and {len(self.lat)} latitudes"
            )
        for name, ids in (("tail", self.tail), ("head", self.head)):
            if len(ids) and not 0 <= ids.min() <= ids.max() < self.nodes:
                raise ValueError(f"{name} names a node outside 0 to {self.nodes - 1}")
        if not (np.isfinite(self.lon).all() and np.isfinite(self.lat).all()):
            raise ValueError("a coordinate is not a finite number")

    @property
    def nodes(self) -> int:
        return len(self.lon)

    @property
    def edges(self) -> int:
        return len(self.tail)

    def check_nodes(self, nodes: Ints) -> None:
        """Raises `ValueError` for a node id that does not exist."""
        wrong = nodes[(nodes < 0) | (nodes >= self.nodes)]
        if len(wrong):
            raise ValueError(f"node {wrong[0]} does not exist: the graph has the nodes 0 to {self.nodes - 1}")

    def milliseconds(self, seconds: Array) -> Ints:
        """Convert edge times to whole milliseconds, at least 1; a closed edge (infinite time) becomes `CLOSED_MS`.

        Raises `ValueError` for a wrong length, a negative time, NaN, or a finite time above `LONGEST_S`.
        """
        if seconds.shape != (self.edges,):
            raise ValueError(f"{seconds.shape} edge times for {self.edges} edges")
        is_closed = np.isposinf(seconds)
        wrong = np.flatnonzero(~is_closed & ~((seconds >= 0) & (seconds <= LONGEST_S)))
        if len(wrong):
            raise ValueError(f"edge {wrong[0]} takes {seconds[wrong[0]]} s: not between 0 and {LONGEST_S:.0f}")
        found: Ints = np.where(is_closed, CLOSED_MS, np.maximum(np.rint(np.where(is_closed, 0, seconds) * MS), 1))
        return found.astype(np.int64)
