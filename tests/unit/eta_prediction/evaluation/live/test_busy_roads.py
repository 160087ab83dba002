"""The busiest places of the map: one of several that the same trips pass, in both directions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from eta_prediction.evaluation.live.busy_roads import ROADS, distinct_roads


@dataclass(frozen=True)
class Ends:
    """The part of a `RoadGraph` that counts. Edge 2k leads from node k to k + 1, and edge 2k + 1 back."""

    tail: Any
    head: Any


def line(roads: int) -> Any:
    nodes = np.arange(roads)
    return Ends(np.stack([nodes, nodes + 1], 1).ravel(), np.stack([nodes + 1, nodes], 1).ravel())


def found(trips: list[list[int]], roads: int = 30) -> list[list[int]]:
    trip = np.repeat(np.arange(len(trips)), [len(one) for one in trips])
    edge = np.array([edge for one in trips for edge in one], np.int64)
    return [edges.tolist() for edges in distinct_roads(line(roads), trip, edge)]


def test_the_busiest_road_comes_first_with_both_directions() -> None:
    trips = [[0], [1], [0], *[[6]] * 2, [10]]
    assert found(trips) == [[0, 1], [6, 7], [10, 11]]


def test_places_that_mostly_the_same_trips_pass_are_one_road() -> None:
    trips = [*[[0, 2, 4]] * 6, *[[4, 8]] * 4, [8]]
    # edge 4 carries 10 trips; edges 0 and 2 share 6 of these 10 with it, edge 8 shares 4 of 11
    assert found(trips) == [[4, 5], [8, 9]]


def test_a_trip_that_passes_a_road_twice_counts_once() -> None:
    assert found([[0, 1, 0], [6], [6]])[0] == [6, 7]


def test_there_are_at_most_so_many_roads_and_none_without_trips() -> None:
    assert len(found([[2 * road] for road in range(30)])) == ROADS
    assert found([]) == []
