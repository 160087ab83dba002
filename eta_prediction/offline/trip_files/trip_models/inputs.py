"""Inputs of the models: the columns of the file alone, the corrected route, and what the training trips say of places.

Encodings of training rows leave out the row's own fold, so that a row's label does not reach its own inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from eta_prediction.domain import Array, Ints
from eta_prediction.offline.trip_files.route import RouteSums
from eta_prediction.offline.trip_files.trips import Trips
from infra.columns import DAY_S, HOUR_S
from infra.routing.snap import METRES_PER_DEGREE

Floats = npt.NDArray[np.float32]
MONDAY_S = 4 * DAY_S
DATE_S = 1.5e9
"""dates are days from here, in 2017, so that a float32 tells minutes apart"""
FOLDS = 5
STRENGTH, MEDIAN_STRENGTH = 20.0, 5.0
"""trips that weigh as much as the mean of all, for places and for hours and lengths"""
CELLS_M = (400.0, 1200.0)
"""sides of the cells of places; pairs of places use the larger one"""
ROTATIONS = (np.pi / 8, np.pi / 4, 3 * np.pi / 8)
SHORTEST_BASE_S = 20.0


def clock_of(trips: Trips) -> tuple[Array, Array]:
    """(hour of the day with its fraction, day of the week from Monday = 0) on the clock of the file."""
    days = (trips.clock_s - MONDAY_S) / DAY_S
    return trips.clock_s % DAY_S / HOUR_S, np.floor(days) % 7


def plain(trips: Trips, *, by_time: bool) -> Floats:
    """float32[n, 10 or 11]: the columns of the file without a route: places, zones, great circle, bearing, hour, day.

    If the test trips lie between the training trips (not `by_time`), the date is an input too.
    """
    hour, day = clock_of(trips)
    east = (trips.to_lon - trips.from_lon) * np.cos(np.radians(trips.from_lat.mean()))
    bearing = np.arctan2(trips.to_lat - trips.from_lat, east)
    columns = (
        *(trips.from_lon, trips.from_lat, trips.to_lon, trips.to_lat),
        *(trips.line_m, bearing, hour, day, trips.from_zone, trips.to_zone),
        *(() if by_time else ((trips.at_s - DATE_S) / DAY_S,)),
    )
    return _table(columns)


def with_route(trips: Trips, sums: RouteSums, base_s: Array, encoded: Array, *, by_time: bool) -> Floats:
    """float32[n, F]: the plain columns, the route and its correction, rotated places, and encodings of places."""
    free_s = np.maximum(sums.free_s, 1e-9)
    hour, day = clock_of(trips)
    x, y, x_to, y_to = _metres(trips)
    turned = []
    for angle in ROTATIONS:
        c, s = np.cos(angle), np.sin(angle)
        turned += [c * x + s * y, c * x_to + s * y_to, np.abs(c * (x_to - x) + s * (y_to - y))]
    route = (
        *(base_s, np.log(base_s), sums.length_m, sums.length_m / np.maximum(sums.line_m, 50.0)),
        *(sums.by_road_s[:, 1] / free_s, sums.by_road_s[:, 2] / free_s, sums.turns, sums.signals, day * 24 + hour),
    )
    return np.column_stack([plain(trips, by_time=by_time), _table((*route, *turned)), encoded.astype(np.float32)])


@dataclass(frozen=True)
class Correction:
    """The corrected route: seconds = fixed_s + factor × route seconds, times factors by hour of the week and length.

    `by_hour` float64[168]; `by_length` float64[bins] for the bins between `edges_s`.
    """

    fixed_s: float
    factor: float
    by_hour: Array
    edges_s: Array
    by_length: Array

    def apply(self, trips: Trips, sums: RouteSums) -> Array:
        """float64[n]: seconds."""
        straight = self.fixed_s + self.factor * sums.free_s
        found = straight * self.by_hour[_hour_of_week(trips)] * self.by_length[_bin(self.edges_s, sums.free_s)]
        return np.maximum(found, SHORTEST_BASE_S)


def correct(trips: Trips, sums: RouteSums, rounds: int = 30) -> Correction:
    """Fit the correction to the trips: the line by least absolute errors, the factors by shrunk medians."""
    free_s, seconds = sums.free_s, trips.seconds
    ones = np.ones_like(free_s)
    x = np.stack([ones, free_s], axis=1)
    weight = ones
    for _ in range(rounds):  # iteratively reweighted least squares
        line = np.linalg.lstsq(x * weight[:, None], seconds * weight, rcond=None)[0]
        weight = 1 / np.sqrt(np.maximum(np.abs(seconds - x @ line), 5.0))
    if line[0] < 0 or line[1] <= 0:
        line = np.array([0.0, float(np.median(seconds) / max(np.median(free_s), 1.0))])
    base = np.maximum(x @ line, SHORTEST_BASE_S)
    hour = _hour_of_week(trips)
    by_hour = np.exp(_medians(np.log(seconds / base), hour, 7 * 24))
    edges = np.quantile(free_s, np.linspace(0, 1, 13)[1:-1])
    bins = _bin(edges, free_s)
    by_length = np.exp(_medians(np.log(seconds / (base * by_hour[hour])), bins, len(edges) + 1))
    return Correction(float(line[0]), float(line[1]), by_hour, edges, by_length)


def encode(trips: Trips, rest: Array, others: Trips | None = None) -> Array:
    """float64[n, 7]: shrunk means of `rest` float64[n] (log of seconds over the corrected route) by place.

    For the training trips themselves out of fold; for `others`, if given, from all training trips.
    """
    keys = _keys(trips, trips)
    if others is None:
        fold = (trips.line * 2654435761 >> 7) % FOLDS
        found = np.zeros((len(trips), len(keys)))
        for at, key in enumerate(keys):
            for number in range(FOLDS):
                inside = fold == number
                found[inside, at] = _shrunk(key[~inside], rest[~inside], key[inside])
        return found
    theirs = _keys(others, trips)
    return np.stack([_shrunk(key, rest, other) for key, other in zip(keys, theirs, strict=True)], axis=1)


def _keys(trips: Trips, anchor: Trips) -> list[Ints]:
    """Keys of places and times int64[n]: fine and coarse cells of both ends, the pair, and coarse cells by hours."""
    hour, day = clock_of(trips)
    time = hour.astype(np.int64) // 3 + 8 * (day >= 5)
    if trips.has_zones:
        cells = [(trips.from_zone, trips.to_zone)] * 2
    else:
        x, y, x_to, y_to = _metres(trips, anchor)
        cells = [(_cell(x, y, side), _cell(x_to, y_to, side)) for side in CELLS_M]
    (one, other), (wide, wide_other) = cells
    return [one, other, wide, wide_other, wide * 2**31 + wide_other, wide * 16 + time, wide_other * 16 + time]


def _metres(trips: Trips, anchor: Trips | None = None) -> tuple[Array, Array, Array, Array]:
    """Metres east and north of both ends, around the median departure of `anchor`."""
    anchor = anchor or trips
    lon, lat = 0.0, 0.0
    north = METRES_PER_DEGREE
    east = north * np.cos(np.radians(np.round(np.median(anchor.from_lat), 1)))
    return (
        (trips.from_lon - lon) * east,
        (trips.from_lat - lat) * north,
        (trips.to_lon - lon) * east,
        (trips.to_lat - lat) * north,
    )


def _cell(x: Array, y: Array, side_m: float) -> Ints:
    return np.floor(y / side_m).astype(np.int64) * 2**15 + np.floor(x / side_m).astype(np.int64) % 2**15


def _shrunk(key: Ints, values: Array, wanted: Ints) -> Array:
    known, at = np.unique(key, return_inverse=True)
    count, total = np.bincount(at), np.bincount(at, values)
    mean = values.mean()
    shrunk = (total + STRENGTH * mean) / (count + STRENGTH)
    place = np.searchsorted(known, wanted).clip(0, len(known) - 1)
    return np.where(known[place] == wanted, shrunk[place], mean)


def _medians(values: Array, group: Ints, groups: int) -> Array:
    """float64[groups]: medians shrunk to 0, by the number of rows."""
    order = np.argsort(group, kind="stable")
    ends = np.searchsorted(group[order], np.arange(groups + 1))
    found = np.zeros(groups)
    for number, (low, high) in enumerate(pairwise(ends.tolist())):
        if high > low:
            share = (high - low) / (high - low + MEDIAN_STRENGTH)
            found[number] = share * np.median(values[order[low:high]])
    return found


def _bin(edges: Array, values: Array) -> Ints:
    return np.searchsorted(edges, values).astype(np.int64)


def _hour_of_week(trips: Trips) -> Ints:
    hour, day = clock_of(trips)
    return (day * 24 + hour).astype(np.int64)


def _table(columns: tuple[Array | Ints, ...]) -> Floats:
    return np.stack([np.asarray(column) for column in columns], axis=1).astype(np.float32)
