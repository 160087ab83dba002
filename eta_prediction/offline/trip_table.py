"""The arrived trips of one day with what their routes said at the departure: a file between `features` and `sample`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from eta_prediction.domain import Array, Bools, Ints
from eta_prediction.events.history import TripRows
from eta_prediction.features.route_inputs import RouteInputs


@dataclass(frozen=True)
class TripTable:
    """n trips in order of departure. `seconds` float64[n] is the label, arrival - departure. The estimates of the
    places are those of the beginning of the day. `rain` is as observed at the departure, `hour` is of the week."""

    route: RouteInputs
    trip_id: Ints
    departure_ts: Array
    origin: Ints
    destination: Ints
    ride_type: Ints
    driver_id: Ints
    served_driver_id: Ints
    is_explore: Bools
    seconds: Array
    hour: Array
    rain: Array
    pick_up_s: Array
    drop_off_s: Array
    event: Array
    event_min: Array

    def __len__(self) -> int:
        return len(self.trip_id)

    @property
    def arrival_ts(self) -> Array:
        return self.departure_ts + self.seconds

    @classmethod
    def of(cls, trips: TripRows, route: RouteInputs, **values: Array) -> TripTable:
        return cls(
            route=route,
            trip_id=trips.trip_id,
            departure_ts=trips.request_ts,
            origin=trips.origin,
            destination=trips.destination,
            ride_type=trips.ride_type,
            driver_id=trips.driver_id,
            served_driver_id=trips.served_driver_id,
            is_explore=trips.is_explore,
            seconds=trips.arrival_ts - trips.request_ts,
            **values,
        )

    def write(self, path: Path) -> None:
        own: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)[1:]}
        np.savez(path, **own, **{f"route.{name}": values for name, values in vars(self.route).items()})

    @classmethod
    def read(cls, path: Path) -> TripTable:
        with np.load(path, allow_pickle=False) as stored:
            own: dict[str, Any] = {item.name: stored[item.name] for item in fields(cls)[1:]}
            return cls(RouteInputs(*(stored[f"route.{item.name}"] for item in fields(RouteInputs))), **own)
