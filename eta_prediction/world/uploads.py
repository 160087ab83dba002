"""Uploads of vehicles: the traversals of a trip in parts, each sent when its last edge has been driven."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eta_prediction.domain import Array, Bools, Ints
from infra.routing.routes import Routes

EVERY_S = 60.0
"""time between two uploads of a vehicle"""
MOST_EDGES = 25
"""most edges of one upload; a request with 100 of them stays below the size limit of the service"""


@dataclass(frozen=True)
class Uploads:
    """n uploads in order of `due_ts` float64[n], the time when they are sent. int64[n]: the row `trip` of each one's
    trip, its `number` within the trip, and the range of edges, `first` to `last` (exclusive), of the routes."""

    due_ts: Array
    trip: Ints
    number: Ints
    first: Ints
    last: Ints

    def between(self, from_ts: float, to_ts: float) -> range:
        """The uploads with from_ts <= `due_ts` < to_ts."""
        return range(*(int(np.searchsorted(self.due_ts, at_ts)) for at_ts in (from_ts, to_ts)))


def make_uploads(routes: Routes, enter_ts: Array, seconds: Array, late_s: Array, kept: Bools) -> Uploads:
    """The uploads of the trips in `kept` bool[trips]. `enter_ts` and `seconds` float64[m] belong to the edges of the
    routes, `late_s` float64[trips] is the delay of all uploads of a trip."""
    rows = np.flatnonzero(kept[routes.owner])
    if not len(rows):
        nowhere = np.zeros(0, np.int64)
        return Uploads(np.zeros(0), nowhere, nowhere, nowhere, nowhere)
    owner, end_ts = routes.owner[rows], (enter_ts + seconds)[rows]
    is_new_trip = np.r_[True, owner[1:] != owner[:-1]]
    departure_ts = enter_ts[rows][np.flatnonzero(is_new_trip)][np.cumsum(is_new_trip) - 1]
    window = np.floor((enter_ts[rows] - departure_ts) / EVERY_S)
    begins = is_new_trip | np.r_[True, window[1:] != window[:-1]]
    place = _place_within(begins)
    begins |= place % MOST_EDGES == 0
    starts = np.flatnonzero(begins)
    ends = np.append(starts[1:], len(rows))
    trip = owner[starts]
    due_ts = np.maximum.reduceat(end_ts, starts) + late_s[trip]
    number = _place_within(np.r_[True, trip[1:] != trip[:-1]])
    order = np.lexsort((number, trip, due_ts))
    first, last = rows[starts], rows[ends - 1] + 1
    return Uploads(due_ts[order], trip[order], number[order], first[order], last[order])


def _place_within(begins: Bools) -> Ints:
    """int64[n]: the place of each item in its run, from 0. `begins` bool[n] marks the first item of each run."""
    at = np.arange(len(begins))
    found: Ints = at - at[begins][np.cumsum(begins) - 1]
    return found
