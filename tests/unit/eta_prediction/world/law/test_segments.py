"""Segments keep every second of a route, and sums over routes do not mix trips."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eta_prediction.domain import GROUPS
from eta_prediction.world.law.segments import segments
from infra.routing.routes import Routes

paths = st.lists(st.lists(st.integers(0, 50), max_size=8), min_size=1, max_size=6)


@given(paths, st.integers(0, 10**6))
def test_segments_keep_the_time_of_every_trip(found: list[list[int]], seed: int) -> None:
    routes, rng = Routes.of([np.array(path, np.int64) for path in found]), np.random.default_rng(seed)
    edges = len(routes.edges)
    group, step, seconds = rng.integers(0, GROUPS, edges), rng.integers(100, 104, edges), rng.random(edges)
    parts = segments(routes, group, step, seconds)
    np.testing.assert_allclose(np.bincount(parts.owner, parts.seconds, routes.trips), routes.total(seconds))
    assert (np.diff(parts.owner) >= 0).all()
    keys = list(zip(parts.owner.tolist(), parts.group.tolist(), parts.step.tolist(), strict=True))
    assert len(keys) == len(set(keys))
    assert set(keys) == set(zip(routes.owner.tolist(), group.tolist(), step.tolist(), strict=True))


@given(paths)
def test_time_before_an_edge_is_the_sum_of_its_trip_so_far(found: list[list[int]]) -> None:
    routes = Routes.of([np.array(path, np.int64) for path in found])
    values = routes.edges + 1.0
    expected = [float(sum(edge + 1 for edge in path[:place])) for path in found for place in range(len(path))]
    np.testing.assert_allclose(routes.before(values), expected)
