"""A real road map: its graph with lengths, free-flow times and classes of road, reduced to what a car can drive."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from eta_prediction.domain import Array, Bools, Ints
from eta_prediction.offline.trip_files.tally import Tally
from infra.errors import LabError
from infra.routing.topology import Topology

FEWEST_NODES = 2
LONGEST_EDGE_M = 200_000.0
DETOUR = 0.9
"""an edge is at least this share of the straight line between its ends"""


@dataclass(frozen=True)
class RoadMap:
    """`length_m`, `free_s` float64[edges], `road` int64[edges] (the class); `is_signal` bool[nodes].

    `facts` describes how the map was read, as JSON values.
    """

    topology: Topology
    length_m: Array
    free_s: Array
    road: Ints
    is_signal: Bools
    facts: dict[str, Any]


def keep_connected(found: RoadMap, name: str) -> RoadMap:
    """The largest strongly connected part, so that every pair of nodes has a path. The shares go to the facts.

    Raises `LabError` if nothing that a car can drive remains.
    """
    graph = found.topology
    if graph.nodes < FEWEST_NODES or not graph.edges:
        raise LabError(f"{name} has {graph.nodes} usable nodes and {graph.edges} usable edges")
    parts, part = connected_components(
        csr_array((np.ones(graph.edges), (graph.tail, graph.head)), shape=(graph.nodes, graph.nodes)),
        connection="strong",
    )
    kept = part == np.bincount(part).argmax()
    if kept.sum() < FEWEST_NODES:
        raise LabError(f"no two nodes of {name} have paths in both directions", hint="the map is no road network")
    edges = kept[graph.tail] & kept[graph.head]
    facts = {
        "nodes": int(kept.sum()),
        "edges": int(edges.sum()),
        "strongly_connected_parts": int(parts),
        "connected_share_of_nodes": round(float(kept.mean()), 4),
        "connected_share_of_edges": round(float(edges.mean()), 4),
        "km": round(float(found.length_m[edges].sum() / 1000), 1),
    }
    return replace(cut(found, kept), facts={**found.facts, **facts})


def cut(found: RoadMap, kept: Bools) -> RoadMap:
    """The map of the nodes in the mask `kept` bool[nodes]."""
    graph, number = found.topology, np.cumsum(kept) - 1
    edges = kept[graph.tail] & kept[graph.head]
    return RoadMap(
        Topology(number[graph.tail[edges]], number[graph.head[edges]], graph.lon[kept], graph.lat[kept]),
        found.length_m[edges],
        found.free_s[edges],
        found.road[edges],
        found.is_signal[kept],
        found.facts,
    )


def check_share(name: str, tally: Tally, most: float, what: str, expected: int = 0) -> None:
    """Raise `LabError` if more than the share `most` of all rows is unusable, apart from `expected` ones."""
    if not tally.lines:
        raise LabError(f"{name} has no {what}")
    if tally.bad - expected > most * tally.lines:
        raise LabError(f"{tally.bad:,} of {tally.lines:,} {what} of {name} are unusable", hint=tally.hint())
