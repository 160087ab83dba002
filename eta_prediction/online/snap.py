"""Stage `snap`: the node of the road graph that stands for the origin or the destination of a request."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import RoadGraph
from infra.errors import UsageError
from infra.routing.snap import Snapper

Place = tuple[float, float] | int
"""(longitude, latitude) in degrees, or the number of a node"""


@dataclass(frozen=True)
class PlaceFinder:
    """Finds nodes. `farthest_m` is the largest distance between a point and its node."""

    graph: RoadGraph
    snapper: Snapper
    farthest_m: float

    def node(self, what: str, place: Place) -> int:
        """The node of `place`. `what` names the place in an error.

        Raises `UsageError` for a node that does not exist and for a point off the map.
        """
        if isinstance(place, int):
            if not 0 <= place < self.graph.nodes:
                raise UsageError(f"the {what} has no node {place}: the map has the nodes 0 to {self.graph.nodes - 1}")
            return place
        node, away_m = self.snapper.nearest(np.array(place[:1]), np.array(place[1:]))
        if away_m[0] > self.farthest_m:
            raise UsageError(
                f"the {what} is off the map: the nearest road is {away_m[0] / 1000:,.1f} km away",
                hint=f"the map covers {self._bounds()}",
            )
        return int(node[0])

    def _bounds(self) -> str:
        lon, lat = self.graph.lon, self.graph.lat
        return f"longitudes {lon.min():.3f} to {lon.max():.3f} and latitudes {lat.min():.3f} to {lat.max():.3f}"
