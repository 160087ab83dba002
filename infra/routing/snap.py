"""Finds the node of a road graph that is nearest to a point."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from infra.routing.topology import Array, Ints, Topology

METRES_PER_DEGREE = 111_320.0
"""of latitude; of longitude at the equator"""


class Snapper:
    """Searches the nodes of one topology on a plane around its mean latitude, which is exact enough for a city."""

    def __init__(self, topology: Topology) -> None:
        self._east_m = METRES_PER_DEGREE * float(np.cos(np.radians(topology.lat.mean())))
        self._tree = KDTree(self._metres(topology.lon, topology.lat))

    def nearest(self, lon: Array, lat: Array) -> tuple[Ints, Array]:
        """(int64[n], float64[n]): the nearest node of each point in degrees, and the metres to it."""
        away_m, node = self._tree.query(self._metres(lon, lat))
        return np.asarray(node, np.int64), np.asarray(away_m, np.float64)

    def _metres(self, lon: Array, lat: Array) -> Array:
        found: Array = np.c_[lon * self._east_m, lat * METRES_PER_DEGREE]
        return found


def great_circle_m(from_lon: Array, from_lat: Array, to_lon: Array, to_lat: Array) -> Array:
    """float64[n]: the distance on a sphere in metres (haversine formula)."""
    one, other = np.radians(from_lat), np.radians(to_lat)
    half = np.sin((other - one) / 2) ** 2 + np.cos(one) * np.cos(other) * (
        np.sin(np.radians(np.asarray(to_lon) - from_lon) / 2) ** 2
    )
    found: Array = 2 * np.degrees(np.arcsin(np.sqrt(np.minimum(half, 1.0)))) * METRES_PER_DEGREE
    return found
