"""Places of a request: nodes and points, on the map and off it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eta_prediction.config import SMOKE
from eta_prediction.online.snap import PlaceFinder
from eta_prediction.world.city import make_city
from infra.errors import UsageError
from infra.routing.snap import METRES_PER_DEGREE, Snapper, great_circle_m

GRAPH = make_city(SMOKE.world.city, SMOKE.world.seed)
FINDER = PlaceFinder(GRAPH, Snapper(GRAPH.topology), 500.0)


@given(st.integers(0, GRAPH.nodes - 1), st.floats(-300, 300), st.floats(-300, 300))
def test_point_gets_the_nearest_node(node: int, east: float, north: float) -> None:
    lat = GRAPH.lat[node] + north / METRES_PER_DEGREE
    lon = GRAPH.lon[node] + east / METRES_PER_DEGREE / np.cos(np.radians(lat))
    found = FINDER.node("origin", (float(lon), float(lat)))
    away = great_circle_m(np.full(GRAPH.nodes, lon), np.full(GRAPH.nodes, lat), GRAPH.lon, GRAPH.lat)
    assert away[found] <= away.min() + 0.5  # the plane around the mean latitude is not a sphere


def test_node_is_taken_as_it_is_and_checked() -> None:
    assert FINDER.node("origin", 3) == 3
    with pytest.raises(UsageError, match=f"the origin has no node {GRAPH.nodes}"):
        FINDER.node("origin", GRAPH.nodes)


def test_point_off_the_map_is_refused_with_the_bounds_of_the_map() -> None:
    with pytest.raises(UsageError, match="the destination is off the map: the nearest road is") as refused:
        FINDER.node("destination", (0.0, 0.0))
    assert "longitudes 9.9" in refused.value.hint


def test_great_circle_of_known_cities() -> None:
    """Berlin to Paris: 878 km."""
    found = great_circle_m(*(np.array([value]) for value in (13.405, 52.52, 2.3522, 48.8566)))
    assert found[0] == pytest.approx(878e3, rel=0.005)
