"""The engine with RoutingKit's customizable contraction hierarchies (Dibbelt, Strasser and Wagner, JEA 2016).

The node order depends on the graph alone and takes seconds; `node_order` computes it once, in the build. New edge times
are *customized* into the hierarchy in milliseconds, and a query takes some ten microseconds.

The binding has four properties that this adapter handles:

- An error is a `PanicException`, which is not an `Exception`. Arguments are checked before each call, and a panic that
  remains becomes `RoutingUnavailable`.
- A query object must be destroyed by the thread that created it, and `reset` fails while a query of its metric exists.
  `infra.routing.kept_query` keeps at most one query per thread; all other queries end with the call that creates them.
- The constructor of a metric holds the interpreter lock for the whole customization. `reset` does not.
- `reset` changes the metric in place. There are therefore two metrics: `update` resets the one that no search uses,
  then new searches take it. If a thread still keeps a query of that metric, because it has not searched since the last
  update, a new metric replaces the old one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from routingkit_cch import CCH, CCHManyToOne, CCHMetric, CCHQuery, compute_order_inertial

from infra.errors import RoutingUnavailable
from infra.routing.kept_query import Customized, drop_kept_query, kept_query
from infra.routing.port import Path
from infra.routing.topology import MS, Array, Ints, Topology

DRAIN_S = 5.0
"""longest wait of an update for the queries that still use the metric before the last one"""


def node_order(topology: Topology) -> Ints:
    """int64[nodes]: the order in which the hierarchy contracts the nodes, by inertial flow on the coordinates."""
    with _panics():
        order = compute_order_inertial(
            topology.nodes,
            topology.tail.tolist(),
            topology.head.tolist(),
            topology.lat.tolist(),
            topology.lon.tolist(),
        )
    return np.array(order, np.int64)


class CchEngine:
    """A `RoutingEngine`. `order` comes from `node_order` for the same topology; a wrong one raises `ValueError`."""

    name = "cch"

    def __init__(self, topology: Topology, order: Ints, seconds: Array) -> None:
        if not np.array_equal(np.sort(order), np.arange(topology.nodes)):
            raise ValueError(f"the order is not a permutation of the {topology.nodes} nodes")
        weights = topology.milliseconds(seconds).tolist()
        self._topology, self._nodes = topology, topology.nodes
        self._changed, self._updating = threading.Condition(), threading.Lock()
        with _panics():
            self._hierarchy = CCH(order.tolist(), topology.tail.tolist(), topology.head.tolist(), False)
            self._served, self._idle = (self._customized(weights) for _ in range(2))

    @property
    def topology(self) -> Topology:
        return self._topology

    def update(self, seconds: Array) -> None:
        """Raises `RoutingUnavailable` if a search has used the idle metric for more than `DRAIN_S`; the engine then
        keeps its edge times."""
        weights = self._topology.milliseconds(seconds).tolist()
        with self._updating:
            with self._changed:
                if not self._changed.wait_for(lambda: self._idle.searches == 0, DRAIN_S):
                    raise RoutingUnavailable(f"a query has used old edge times for more than {DRAIN_S:.0f} s")
            with _panics():
                if self._idle.kept:
                    self._idle = self._customized(weights)
                else:
                    self._idle.metric.reset(weights)
            with self._changed:
                self._served, self._idle = self._idle, self._served

    def path(self, source: int, target: int) -> Path | None:
        if not (0 <= source < self._nodes and 0 <= target < self._nodes):
            self._topology.check_nodes(np.array([source, target]))
        try:
            return _path(kept_query(lambda: self._served), source, target)
        except BaseException as exc:
            if type(exc).__name__ != "PanicException":
                raise
            message = str(exc)
        drop_kept_query()  # after the block, because the traceback of the panic refers to the query
        raise RoutingUnavailable(f"the routing engine failed: {message}")

    def seconds_to(self, sources: Ints, target: int) -> Array:
        self._topology.check_nodes(np.append(sources, target))
        if not len(sources):
            return np.zeros(0)
        with self._metric() as metric:
            query = CCHManyToOne(metric, sources.tolist())
            try:
                found = query.distances_to(target)
            finally:
                del query
        return np.array([np.inf if ms is None else ms / MS for ms in found])

    def paths_to(self, sources: Ints, target: int) -> Sequence[Path | None]:
        return self.paths(sources, np.full(len(sources), target))

    def paths(self, sources: Ints, targets: Ints) -> Sequence[Path | None]:
        self._topology.check_nodes(np.append(sources, targets))
        with self._metric() as metric:
            query = CCHQuery(metric)
            try:
                return [_path(query, *pair) for pair in zip(sources.tolist(), targets.tolist(), strict=True)]
            finally:
                del query

    def _customized(self, weights: list[int]) -> Customized:
        return Customized(CCHMetric(self._hierarchy, weights), self._changed)

    @contextmanager
    def _metric(self) -> Iterator[Any]:
        """The served metric. No update resets it before the block ends."""
        with self._changed:
            used = self._served
            used.searches += 1
        try:
            with _panics():
                yield used.metric
        finally:
            with self._changed:
                used.searches -= 1
                self._changed.notify_all()


def _path(query: CCHQuery, source: int, target: int) -> Path | None:
    found = query.run(source, target)
    ms = found.distance
    return None if ms is None else Path(ms / MS, np.array(found.arc_path, np.int64))


@contextmanager
def _panics() -> Iterator[None]:
    """Convert a panic of the binding to `RoutingUnavailable`, without its traceback, which would keep a query alive."""
    try:
        yield
    except BaseException as exc:
        if type(exc).__name__ != "PanicException":
            raise
        message = str(exc)
    else:
        return
    raise RoutingUnavailable(f"the routing engine failed: {message}")
