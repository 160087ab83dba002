"""The corrected route: a route's time with its usual bias removed, and the interval of past trips around it.

It is the baseline of every figure, the base that the models correct further, and the answer when a model is missing.
The bias depends on the hour, the type of ride, the mix of roads and the length. The map alone is used: no turns, no
places, no drivers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from eta_prediction.domain import Array, Bools, Ints, hour_of_week
from eta_prediction.model.inputs import Floats, column

KNOTS_H = np.arange(0.0, 24.0, 2.0)
"""hours between which the bias is linear, on workdays and on weekends"""
LENGTHS_S = (300.0, 600.0, 1_000.0, 1_600.0)
"""route times that separate the classes of length for intervals"""
BUSY = 0.25
"""usual log ratio of the city from which an hour counts as busy, for intervals"""
LEVELS = (0.1, 0.5, 0.9)


@dataclass(frozen=True)
class CorrectedRoute:
    """`full` float64[columns] uses the mix of roads, `plain` float64[columns] the seconds alone. `interval` float64[2,
    lengths, 3]: quantiles of actual over corrected time, by quiet or busy hour and class of length."""

    full: Array
    plain: Array
    interval: Array

    def seconds(self, x: Floats, route_s: Array) -> Array:
        """float64[n]: corrected times of routes `route_s` float64[n] with inputs `x` float32[n, NAMES]."""
        return np.maximum(_weighted(self.full, *_columns_of(x), route_s), 30.0)

    def from_seconds(self, route_s: Array, departure_ts: Array, time_zone: str, ride_type: Ints) -> Array:
        """float64[n]: corrected times where only the route's time is known; NaN stays NaN."""
        hour = hour_of_week(departure_ts, time_zone)
        found = _weighted(self.plain, hour, (ride_type == 1, ride_type == 2), (), route_s)
        return np.where(np.isnan(route_s), np.nan, np.maximum(found, 30.0))

    def quantiles(self, corrected_s: Array, route_s: Array, is_busy: Bools) -> Array:
        """float64[n, 3]: P10, P50 and P90 around corrected times."""
        factor = self.interval[is_busy.astype(np.int64), np.searchsorted(LENGTHS_S, route_s)]
        return corrected_s[:, None] * factor

    def as_json(self) -> dict[str, Any]:
        return {name: values.tolist() for name, values in vars(self).items()}

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> CorrectedRoute:
        return cls(*(np.array(stored[name], np.float64) for name in cls.__annotations__))


def full_columns(x: Floats, route_s: Array) -> Array:
    """float64[n, columns]: what the weights `full` are multiplied with."""
    hour, rides, roads = _columns_of(x)
    return _by_hour(hour, route_s, rides, roads)


def _columns_of(x: Floats) -> tuple[Array, tuple[Array, ...], tuple[Array, ...]]:
    """The hour of the week, the types of ride and the shares of roads, float64[n] each."""
    angle = np.arctan2(column(x, "hour_sin"), column(x, "hour_cos")) * 12 / np.pi % 24
    hour = angle + 120 * column(x, "is_weekend")
    rides, roads = (
        (column(x, one), column(x, other))
        for one, other in (("is_pooled", "is_airport"), ("local_share", "motorway_share"))
    )
    return hour, rides, roads


def is_busy(x: Floats) -> Bools:
    """bool[n]: trips in a busy hour."""
    return is_busy_at(column(x, "traffic"))


def is_busy_at(traffic: Array) -> Bools:
    """bool[n]: hours in which the usual log ratio of the city is `traffic` float64[n]."""
    found: Bools = traffic > BUSY
    return found


def _by_hour(
    hour_of_week: Array, route_s: Array, rides: tuple[Array | Bools, ...], roads: tuple[Array, ...] = ()
) -> Array:
    """float64[n, columns]: weights of the knots of the hour and the types of ride, alone and times the route's time;
    then the shares of roads times the route's time. `rides` and `roads` are arrays of n values."""
    one, other, share = _knots_of(hour_of_week)
    rows, knots, after = np.arange(len(share)), 2 * len(KNOTS_H), 4 * len(KNOTS_H)
    found = np.zeros((len(share), after + 2 * len(rides) + len(roads)))
    found[rows, one] = 1 - share
    found[rows, other] += share
    np.multiply(found[:, :knots], route_s[:, None], out=found[:, knots:after])
    for number, ride in enumerate(rides):
        found[:, after + number] = ride
        found[:, after + len(rides) + number] = ride * route_s
    for number, share_of_road in enumerate(roads):
        found[:, after + 2 * len(rides) + number] = share_of_road * route_s
    return found


def _knots_of(hour_of_week: Array) -> tuple[Ints, Ints, Array]:
    """The columns int64[n] of the knots before and after each hour, and the share float64[n] of the one after."""
    place = (hour_of_week % 24) / 2
    below = place.astype(np.int64)
    first = len(KNOTS_H) * (hour_of_week >= 120)
    return first + below % len(KNOTS_H), first + (below + 1) % len(KNOTS_H), place - below


def _weighted(
    weights: Array, hour_of_week: Array, rides: tuple[Array | Bools, ...], roads: tuple[Array, ...], route_s: Array
) -> Array:
    """float64[n]: `_by_hour` times `weights`. Few columns of a row are not 0, so their weights are looked up."""
    one, other, share = _knots_of(hour_of_week)
    knots = 2 * len(KNOTS_H)
    alone = weights.take(one) * (1 - share) + weights.take(other) * share
    factor = weights.take(one + knots) * (1 - share) + weights.take(other + knots) * share
    rest = weights[2 * knots :]
    of_ride, of_ride_s, of_road_s = rest[: len(rides)], rest[len(rides) : 2 * len(rides)], rest[2 * len(rides) :]
    for number, ride in enumerate(rides):
        alone += of_ride[number] * ride
        factor += of_ride_s[number] * ride
    for number, share_of_road in enumerate(roads):
        factor += of_road_s[number] * share_of_road
    found: Array = alone + factor * route_s
    return found
