"""Rides at any time after the history, in a city whose traffic nobody reports, as in a drill without simulated people.

A server then knows the usual traffic of the hour, so the true law is that without knowledge of today's traffic.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from eta_prediction.config import WorldConfig
from eta_prediction.domain import Ints
from eta_prediction.evaluation.rides.cases import Ride
from eta_prediction.evaluation.rides.day_after import DrivenRide, driven_ride
from eta_prediction.world.demand import Demand
from eta_prediction.world.live_city import LiveCity
from eta_prediction.world.replayed import Observed, ReplayedDay
from eta_prediction.world.shift import busiest_bridge, shifted

NOTHING = Observed(np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


class LaterDays:
    """The city is drawn at the first use, with road works of `size` on its busiest bridge (`world.shift`)."""

    def __init__(self, config: WorldConfig, size: float = 0.0) -> None:
        self._config, self._size = config, size

    @cached_property
    def _city(self) -> LiveCity:
        city = LiveCity(self._config)
        routes = city.day_at(city.end_ts).found.planned.routes
        bridge = busiest_bridge(self._config.city, city.world.graph, routes)
        city.shift(shifted(city.world, bridge, self._size), city.end_ts)
        return city

    def driven(self, ride: Ride, at_ts: float, edges: Ints) -> DrivenRide:
        """The ride with a departure at `at_ts` along `edges`, or along the driver's own route if there are none."""
        city, day = self._city, self._city.day_at(at_ts)
        if not len(edges):
            ends = (
                np.array([one], np.int64) for one in (ride.origin, ride.destination, ride.ride_type, ride.driver_id)
            )
            edges = city.usual_route(Demand(np.array([at_ts]), *ends))
        unseen = ReplayedDay(day.day, day.begin_ts, day.found, (), city.world.traffic, NOTHING)
        return driven_ride(city.world, unseen, ride, at_ts, edges, withheld="traffic")
