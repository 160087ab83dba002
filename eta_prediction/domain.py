"""The nouns of the ETA design: the road graph, its classes and groups of edges, and the types of a ride."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from infra.columns import DAY_S, HOUR_S
from infra.routing.routes import Routes, directions, turns
from infra.routing.topology import Topology

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LOCAL, ARTERIAL, MOTORWAY = 0, 1, 2
"""classes of road"""
STANDARD, POOLED, AIRPORT = 0, 1, 2
RIDE_TYPES = ("standard", "pooled", "airport")
PROFILE_POLICY, EXPLORE_POLICY, SERVING_POLICY = "profile_v1", "explore_v1", "eta_v1"
ARRIVED, CANCELLED = "arrived", "cancelled"
NONE = -1
"""the driver of a trip without one"""
DISTRICTS, SECTORS = 19, 4
GROUPS = 2 * DISTRICTS + SECTORS
"""groups of edges that share their congestion: local streets and arterials of each district, sectors of motorways"""
GROUP_CLASS: Ints = np.r_[np.tile([LOCAL, ARTERIAL], DISTRICTS), np.full(SECTORS, MOTORWAY)]


HOURS_OF_WEEK = 7 * 24
CELLS = 20
"""cells of places along one side of the city"""
QUARTER_S = HOUR_S / 4
MONDAY_TS = 4 * DAY_S
"""the first Monday after the epoch, 00:00 UTC"""


@dataclass(frozen=True)
class RoadGraph:
    """A directed road graph. `lon` and `lat` are float64[nodes] in degrees, the other arrays belong to edges or nodes.

    `tail`, `head` and `road` (the class) are int64[edges], `length_m` and `free_s` (the time without traffic)
    float64[edges], `group` int64[edges]. `district` is int64[nodes]; `is_signal` bool[nodes] marks traffic signals.
    """

    lon: Array
    lat: Array
    tail: Ints
    head: Ints
    road: Ints
    length_m: Array
    free_s: Array
    group: Ints
    district: Ints
    is_signal: Bools
    airport: int
    """the node of the airport"""

    @property
    def nodes(self) -> int:
        return len(self.lon)

    @property
    def edges(self) -> int:
        return len(self.tail)

    @cached_property
    def topology(self) -> Topology:
        return Topology(self.tail, self.head, self.lon, self.lat)

    @cached_property
    def out_edge(self) -> Ints:
        """int64[nodes]: one edge that leaves each node."""
        found = np.zeros(self.nodes, np.int64)
        found[self.tail] = np.arange(self.edges)
        return found

    @cached_property
    def cell(self) -> Ints:
        """int64[nodes]: the cell of each node, in a grid of `CELLS` × `CELLS` over the city."""
        east, north = (
            np.clip((CELLS * (x - x.min()) / (np.ptp(x) + 1e-12)).astype(np.int64), 0, CELLS - 1)
            for x in (self.lon, self.lat)
        )
        found: Ints = north * CELLS + east
        return found

    def turns(self, routes: Routes) -> Bools:
        """bool[m]: edges of the routes that begin with a turn."""
        return turns(self._direction, routes)

    def signals(self, routes: Routes) -> Bools:
        """bool[m]: edges of the routes that begin at a traffic signal. The start of a route is none."""
        found: Bools = routes.goes_on & self.is_signal[self.tail[routes.edges]]
        return found

    @cached_property
    def _direction(self) -> Array:
        return directions(self.topology)


def hour_of_week(at_ts: Array, time_zone: str) -> Array:
    """float64[n] in [0, 168): hours since Monday 00:00 on local clocks, for times in seconds since the epoch (UTC).

    Zones change their offset at whole quarters of an hour, so one lookup per quarter suffices.
    """
    at_ts = np.asarray(at_ts, np.float64)
    if at_ts.size == 1:  # a request
        offset: Array | float = _offset_s(math.floor(at_ts.item() / QUARTER_S) * QUARTER_S, time_zone)
    else:
        quarter, index = np.unique(np.floor(at_ts / QUARTER_S), return_inverse=True)
        offsets = np.array([_offset_s(float(q) * QUARTER_S, time_zone) for q in quarter])
        offset = offsets[index].reshape(at_ts.shape)
    found: Array = (at_ts + offset - MONDAY_TS) % (7 * DAY_S) / HOUR_S
    return found


@lru_cache(maxsize=64)
def _offset_s(at_ts: float, time_zone: str) -> float:
    offset = datetime.fromtimestamp(at_ts, ZoneInfo(time_zone)).utcoffset()
    return offset.total_seconds() if offset is not None else 0.0
