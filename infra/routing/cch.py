"""The engine with RoutingKit's customizable contraction hierarchies (Dibbelt, Strasser and Wagner, JEA 2016).

The node order depends on the graph alone and takes seconds; `node_order` computes it once, in the build. New edge times
are *customized* into the hierarchy in milliseconds, and a query takes some ten microseconds.

The binding has four properties that this adapter handles:

- An error is a `PanicException`, which is not an `Exception`. Arguments are checked before each call, and a panic that
  remains becomes `RoutingUnavailable`.
- A query object must be destroyed by the thread that created it, and `reset` fails while a query of its metric exists.
  Each call creates its query and deletes it before it returns, which takes microseconds.
- The constructor of a metric holds the interpreter lock for the whole customization. `reset` does not.
- `reset` changes the metric in place. There are therefore two metrics: `update` resets the one that no query uses, then
  new queries take it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from routingkit_cch import CCH, CCHManyToOne, CCHMetric, CCHQuery, compute_order_inertial

from infra.errors import RoutingUnavailable
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
        with _panics():
            hierarchy = CCH(order.tolist(), topology.tail.tolist(), topology.head.tolist(), False)
            self._metrics = [CCHMetric(hierarchy, weights), CCHMetric(hierarchy, weights)]
        self._served, self._queries = 0, [0, 0]
        self._changed, self._updating = threading.Condition(), threading.Lock()

    @property
    def topology(self) -> Topology:
        return self._topology

    def update(self, seconds: Array) -> None:
        """Raises `RoutingUnavailable` if a query has used the idle metric for more than `DRAIN_S`; the engine then
        keeps its edge times."""
        weights = self._topology.milliseconds(seconds)
        with self._updating:
            idle = 1 - self._served
            with self._changed:
                if not self._changed.wait_for(lambda: self._queries[idle] == 0, DRAIN_S):
                    raise RoutingUnavailable(f"a query has used old edge times for more than {DRAIN_S:.0f} s")
            with _panics():
                self._metrics[idle].reset(weights.tolist())
            with self._changed:
                self._served = idle

    def path(self, source: int, target: int) -> Path | None:
        if not (0 <= source < self._nodes and 0 <= target < self._nodes):
            self._topology.check_nodes(np.array([source, target]))
        with self._metric() as metric:
            query = CCHQuery(metric)
            try:
                return _path(query, source, target)
            finally:
                del query

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

    def _metric(self) -> _Use:
        """The served metric. No update resets it before the block ends."""
        return _Use(self)


class _Use:
    """The context of one query. It implements the protocol itself, because two generators take a third of a query."""

    def __init__(self, engine: CchEngine) -> None:
        self._engine = engine

    def __enter__(self) -> Any:
        engine = self._engine
        with engine._changed:
            self._side = engine._served
            engine._queries[self._side] += 1
        return engine._metrics[self._side]

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, traceback: object) -> None:
        engine = self._engine
        with engine._changed:
            engine._queries[self._side] -= 1
            engine._changed.notify_all()
        if exc is not None and kind is not None and kind.__name__ == "PanicException":
            raise RoutingUnavailable(f"the routing engine failed: {exc}") from None


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
