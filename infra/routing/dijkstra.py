"""The engine with SciPy's Dijkstra. Every query explores the graph, which takes milliseconds on a city.

Tests compare the other engine with this one. It serves where no wheel of RoutingKit exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from infra.routing.port import Path
from infra.routing.topology import CLOSED_MS, MS, Array, Ints, Topology

NO_NODE = -9999
"""SciPy's mark of a node without a predecessor"""


@dataclass(frozen=True)
class _Arcs:
    """The open edges of one direction as a sparse matrix of milliseconds; entry i is edge `edge[i]`.

    Of parallel edges, only the fastest is an entry.
    """

    matrix: csr_array
    edge: Ints

    @classmethod
    def of(cls, tail: Ints, head: Ints, ms: Ints, nodes: int) -> _Arcs:
        order = np.lexsort((ms, head, tail))
        order = order[ms[order] < CLOSED_MS]
        pairs = tail[order] * nodes + head[order]
        order = order[np.r_[True, pairs[1:] != pairs[:-1]]] if len(order) else order
        starts = np.searchsorted(tail[order], np.arange(nodes + 1))
        return cls(csr_array((ms[order].astype(np.float64), head[order], starts), shape=(nodes, nodes)), order)

    def tree(self, root: int) -> tuple[Array, Ints]:
        """(milliseconds from the root float64[nodes], predecessor int[nodes])."""
        found, before = dijkstra(self.matrix, indices=root, return_predecessors=True)
        return found, before

    def edge_between(self, tail: int, head: int) -> int:
        first, last = self.matrix.indptr[tail], self.matrix.indptr[tail + 1]
        return int(self.edge[first + np.searchsorted(self.matrix.indices[first:last], head)])


class DijkstraEngine:
    """A `RoutingEngine`."""

    name = "dijkstra"

    def __init__(self, topology: Topology, seconds: Array) -> None:
        self._topology = topology
        self.update(seconds)

    @property
    def topology(self) -> Topology:
        return self._topology

    def update(self, seconds: Array) -> None:
        graph, ms = self._topology, self._topology.milliseconds(seconds)
        self._reversed = _Arcs.of(graph.head, graph.tail, ms, graph.nodes)  # one assignment: queries need no lock

    def path(self, source: int, target: int) -> Path | None:
        return self.paths_to(np.array([source]), target)[0]

    def seconds_to(self, sources: Ints, target: int) -> Array:
        self._topology.check_nodes(np.append(sources, target))
        found: Array = self._reversed.tree(target)[0][sources] / MS
        return found

    def paths_to(self, sources: Ints, target: int) -> Sequence[Path | None]:
        self._topology.check_nodes(np.append(sources, target))
        arcs = self._reversed
        ms, after = arcs.tree(target)
        return [_walk(arcs, ms, after, source) for source in sources.tolist()]

    def paths(self, sources: Ints, targets: Ints) -> Sequence[Path | None]:
        pairs = zip(sources.tolist(), targets.tolist(), strict=True)
        return [self.path(source, target) for source, target in pairs]


def _walk(arcs: _Arcs, ms: Array, after: Ints, source: int) -> Path | None:
    """The path from `source` to the root of a tree on reversed edges."""
    if not np.isfinite(ms[source]):
        return None
    edges, node = [], source
    while (following := int(after[node])) != NO_NODE:
        edges.append(arcs.edge_between(following, node))
        node = following
    return Path(float(ms[source]) / MS, np.array(edges, np.int64))
