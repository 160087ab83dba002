"""The busiest roads of the city, by which the drift monitor divides trips (`evaluation.drift`).

Road works, or a new road, change the times of the trips over one place. The mean of all trips hides them, and so does
that of a district: most of its trips do not pass there. Nobody knows in advance where that will be. The monitor watches
the places that most vehicles pass, which include the bridges of a city with few of them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.sparse import csr_array

from eta_prediction.domain import Ints, RoadGraph
from eta_prediction.events.history import traversal_rows
from eta_prediction.events.paths import TRAVERSALS

ROADS = 12
SAME = 0.5
"""share of common trips, of the trips over one or both of two places, from which on they count as the same road"""


def busiest_roads(graph: RoadGraph, world: Path) -> list[Ints]:
    """The edges, in both directions, of the places that most vehicles of the newest day in the log pass, the busiest
    first. Empty without a log of traversals."""
    files = sorted((world / TRAVERSALS).rglob("*.parquet"))
    if not files:
        return []
    rows = traversal_rows(pq.read_table(files[-1], partitioning=None))
    return distinct_roads(graph, rows.owner, rows.edge)


def distinct_roads(graph: RoadGraph, trip: Ints, edge: Ints) -> list[Ints]:
    """Like `busiest_roads`, for trips that pass edges: `trip` and `edge` int64[m]."""
    ends = np.sort(np.stack([graph.tail, graph.head]), axis=0)
    _, road = np.unique(ends, axis=1, return_inverse=True)
    road = road.ravel()  # int64[edges]: one number for both directions
    passes = csr_array((np.ones(len(trip)), (trip, road[edge])), shape=(trip.max(initial=-1) + 1, road.max() + 1))
    passes.sum_duplicates()
    passes.data[:] = 1.0
    by_road, trips = passes.tocsc(), passes.sum(axis=0)
    left, found = trips.copy(), list[Ints]()
    while len(found) < ROADS and left.max(initial=0.0) > 0:
        busiest = int(left.argmax())
        over = by_road.indices[by_road.indptr[busiest] : by_road.indptr[busiest + 1]]
        common = passes[over].sum(axis=0)
        left[common > SAME * (trips + trips[busiest] - common)] = 0.0
        left[busiest] = 0.0
        found.append(np.flatnonzero(road == busiest))
    return found
