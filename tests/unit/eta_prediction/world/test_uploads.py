"""Uploads contain every traversal of a trip once, in order, and are due when the last of their edges is driven."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eta_prediction.world.uploads import EVERY_S, MOST_EDGES, make_uploads
from infra.routing.routes import Routes


@given(st.lists(st.integers(1, 90), min_size=1, max_size=6), st.integers(0, 99), st.data())
def test_uploads_partition_the_routes_and_are_due_after_their_edges(
    lengths: list[int], seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    routes = Routes.of([rng.integers(0, 50, length) for length in lengths])
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=len(lengths), max_size=len(lengths))))
    nominal, seconds = rng.exponential(9, len(routes.edges)), rng.exponential(9, len(routes.edges))
    enter_ts = 1e9 + rng.uniform(0, 900, len(lengths))[routes.owner] + routes.before(nominal)
    late_s = np.where(rng.random(len(lengths)) < 0.5, 700.0, 0.0)
    found = make_uploads(routes, enter_ts, seconds, late_s, kept)
    parts = [(int(a), int(b)) for a, b in zip(found.first, found.last, strict=True)]
    covered = sorted(row for a, b in parts for row in range(a, b))
    assert covered == np.flatnonzero(kept[routes.owner]).tolist(), "each traversal of a kept trip once"
    assert (np.diff(found.due_ts) >= 0).all()
    for row, (a, b) in enumerate(parts):
        assert set(routes.owner[a:b].tolist()) == {int(found.trip[row])}
        assert 0 < b - a <= MOST_EDGES
        assert np.ptp(enter_ts[a:b]) <= EVERY_S
        assert abs(found.due_ts[row] - (enter_ts + seconds)[a:b].max() - late_s[found.trip[row]]) < 1e-3
    for trip in np.flatnonzero(kept).tolist():
        mine = np.flatnonzero(found.trip == trip)
        order = np.argsort(found.number[mine])
        assert found.number[mine][order].tolist() == list(range(len(mine)))
        assert (np.diff(found.first[mine][order]) > 0).all(), "numbers follow the route"
    low, high = sorted(rng.uniform(1e9, 1e9 + 2000, 2))
    between = [row for row, due in enumerate(found.due_ts) if low <= due < high]
    assert list(found.between(low, high)) == between
