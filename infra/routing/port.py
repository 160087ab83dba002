"""The port of the routing engine: fastest paths under the newest edge times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from infra.routing.topology import Array, Ints, Topology


class Path(NamedTuple):
    """A fastest path: its time, and its edges int64[k] in driving order. It has no edge if source and target are the
    same node."""

    seconds: float
    edges: Ints


class RoutingEngine(Protocol):
    """Finds fastest paths. Every method may be called from any thread, also while another thread updates.

    A query uses the edge times of one update, the newest one when the query starts. Methods raise `ValueError` for a
    node that does not exist and `RoutingUnavailable` if the engine fails.
    """

    name: str

    @property
    def topology(self) -> Topology: ...

    def update(self, seconds: Array) -> None:
        """Use new edge times, float64[edges] in seconds; infinity closes an edge. Queries go on meanwhile."""
        ...

    def path(self, source: int, target: int) -> Path | None:
        """The fastest path, or None if there is none."""
        ...

    def seconds_to(self, sources: Ints, target: int) -> Array:
        """float64[n]: the time from each source to the target, infinite where there is no path."""
        ...

    def paths_to(self, sources: Ints, target: int) -> Sequence[Path | None]:
        """The fastest path from each source to the target."""
        ...

    def paths(self, sources: Ints, targets: Ints) -> Sequence[Path | None]:
        """The fastest path of each pair, under the same edge times."""
        ...
