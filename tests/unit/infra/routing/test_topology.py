"""A topology refuses arrays that do not form a graph."""

from __future__ import annotations

import numpy as np
import pytest

from infra.routing.topology import CLOSED_MS, Topology

IDS, DEGREES = np.array([0, 1]), np.zeros(2)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((IDS, IDS[:1], DEGREES, DEGREES), "2 tails and 1 heads"),
        ((IDS, IDS, DEGREES, DEGREES[:1]), "2 longitudes and 1 latitudes"),
        ((IDS, IDS + 1, DEGREES, DEGREES), "head names a node outside 0 to 1"),
        ((IDS - 1, IDS, DEGREES, DEGREES), "tail names a node outside 0 to 1"),
        ((IDS, IDS, DEGREES, DEGREES + np.nan), "not a finite number"),
    ],
)
def test_arrays_that_do_not_form_a_graph_are_refused(arrays: tuple[np.ndarray, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Topology(*arrays)


def test_edge_times_are_whole_milliseconds_of_at_least_one() -> None:
    found = Topology(IDS, IDS, DEGREES, DEGREES).milliseconds(np.array([0.0, 1.2346]))
    assert found.tolist() == [1, 1235]
    assert Topology(IDS, IDS, DEGREES, DEGREES).milliseconds(np.array([np.inf, 2.0])).tolist() == [CLOSED_MS, 2000]
