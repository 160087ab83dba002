"""Sums along routes, and their turns."""

from __future__ import annotations

import numpy as np

from infra.routing.routes import Routes, directions, turns
from infra.routing.topology import Topology


def street_corner() -> Topology:
    """Four nodes around a block and one further east: 0 → 1 → 2 lead east, 1 → 3 north, 3 → 0 back."""
    lon, lat = np.array([0.0, 0.001, 0.002, 0.001]), np.array([50.0, 50.0, 50.0, 50.001])
    return Topology(np.array([0, 1, 1, 3]), np.array([1, 2, 3, 0]), lon, lat)


def test_turn_is_a_sharp_change_of_direction_and_the_first_edge_is_none() -> None:
    routes = Routes.of([np.array([0, 1]), np.array([0, 2, 3]), np.array([2])])
    found = turns(directions(street_corner()), routes)
    assert found.tolist() == [False, False, False, True, True, False]


def test_direction_counts_from_east_and_corrects_for_the_latitude() -> None:
    """A degree of longitude is shorter than one of latitude: the edge back leads south-west at less than 45 degrees
    from south."""
    found = np.degrees(directions(street_corner()))
    np.testing.assert_allclose(found[:3], [0, 0, 90], atol=1e-9)
    assert -135 < found[3] < -100


def test_sum_before_an_edge_covers_the_earlier_edges_of_its_own_trip() -> None:
    routes = Routes.of([np.array([0, 1]), np.zeros(0, np.int64), np.array([0, 2, 3]), np.zeros(0, np.int64)])
    assert routes.before(np.array([1.0, 2.0, 4.0, 8.0, 16.0])).tolist() == [0.0, 1.0, 0.0, 4.0, 12.0]
    assert routes.goes_on.tolist() == [False, True, False, True, True]


def test_empty_routes_have_neither_edges_nor_turns() -> None:
    routes = Routes.of([np.zeros(0, np.int64), np.zeros(0, np.int64)])
    assert routes.trips == 2
    assert routes.total(np.zeros(0)).tolist() == [0.0, 0.0]
    assert len(routes.before(np.zeros(0))) == 0
    assert len(turns(directions(street_corner()), routes)) == 0
