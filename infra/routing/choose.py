"""Opens the routing engine that this machine can run."""

from __future__ import annotations

import importlib.util
import logging

from infra.routing.dijkstra import DijkstraEngine
from infra.routing.port import RoutingEngine
from infra.routing.topology import Array, Ints, Topology

log = logging.getLogger(__name__)


def has_cch() -> bool:
    """True if RoutingKit's binding is installed. It has wheels for glibc 2.34 and newer, musl, macOS and Windows."""
    return importlib.util.find_spec("routingkit_cch") is not None


def find_order(topology: Topology) -> Ints | None:
    """The node order that `open_engine` needs, or None where the binding is not installed."""
    if not has_cch():
        return None
    from infra.routing.cch import node_order

    return node_order(topology)


def open_engine(topology: Topology, order: Ints | None, seconds: Array) -> RoutingEngine:
    """The fast engine, or Dijkstra with a warning if the binding is not installed or the build had none."""
    if order is None or not has_cch():
        log.warning("routing uses the slow engine, Dijkstra: the package routingkit-cch is not installed here")
        return DijkstraEngine(topology, seconds)
    from infra.routing.cch import CchEngine

    return CchEngine(topology, order, seconds)
