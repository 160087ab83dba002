"""The inputs of the models: names, groups, and one function that assembles them as float32[n, inputs].

Training, serving and replay use the same function. The static models see no input of the group LIVE.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from eta_prediction.domain import AIRPORT, POOLED, Array, Ints
from eta_prediction.features.route_inputs import RouteInputs
from eta_prediction.features.views import DriverFeatures

Floats = npt.NDArray[np.float32]
ROUTE = (
    "km",
    "free_s",
    "profile_s",
    "profile_pace",
    "turns",
    "signals",
    "stops_share",
    "local_share",
    "motorway_share",
)
LIVE = (
    "live_s",
    "live_pace",
    "incidents",
    "incidents_expected",
    "city_residual",
    "origin_residual",
    "destination_residual",
    "observed_share",
)
TIME = ("hour_sin", "hour_cos", "hour2_sin", "hour2_cos", "is_weekend", "traffic")
WEATHER = ("rain",)
PLACE = ("pick_up_s", "drop_off_s", "kerb_share", "event", "event_min")
TYPE = ("is_pooled", "is_airport")
DRIVER = ("driver_known", "driver_habit", "driver_trips", "driver_lateness")
NAMES = ROUTE + LIVE + TIME + WEATHER + PLACE + TYPE + DRIVER
PLACE_OF = {name: place for place, name in enumerate(NAMES)}
STATIC_NAMES = tuple(name for name in NAMES if name not in LIVE)
"""inputs of the models that answer when the traffic feed is down"""
STOPS = ("turns", "signals", "stops_share")
TURN_S, SIGNAL_S = 10.0, 25.0
"""rough times of a turn and of a signal, for the share of stops in a route's time"""


@dataclass(frozen=True)
class TripInputs:
    """The inputs of n trips before they are assembled; float64[n] and int64[n].

    `hour` is the hour of the week on local clocks. `pick_up_s` and `drop_off_s` are estimates of the places, `event`
    and `event_min` come from `features.places.event_inputs`.
    """

    route: RouteInputs
    hour: Array
    rain: Array
    pick_up_s: Array
    drop_off_s: Array
    event: Array
    event_min: Array
    ride_type: Ints
    driver: DriverFeatures


def assemble(trips: TripInputs) -> Floats:
    """float32[n, len(NAMES)]"""
    route, angle = trips.route, trips.hour * (2 * np.pi / 24)
    columns = vars(route) | {
        "profile_pace": route.profile_s / route.free_s,
        "stops_share": (TURN_S * route.turns + SIGNAL_S * route.signals) / route.profile_s,
        "live_pace": route.live_s / route.profile_s,
        "hour_sin": np.sin(angle),
        "hour_cos": np.cos(angle),
        "hour2_sin": np.sin(2 * angle),
        "hour2_cos": np.cos(2 * angle),
        "is_weekend": trips.hour >= 5 * 24,
        "traffic": route.traffic,
        "rain": trips.rain,
        "pick_up_s": trips.pick_up_s,
        "drop_off_s": trips.drop_off_s,
        "kerb_share": (trips.pick_up_s + trips.drop_off_s) / route.profile_s,
        "event": trips.event,
        "event_min": trips.event_min,
        "is_pooled": trips.ride_type == POOLED,
        "is_airport": trips.ride_type == AIRPORT,
        "driver_known": trips.driver.is_known,
        "driver_habit": trips.driver.habit,
        "driver_trips": trips.driver.trips,
        "driver_lateness": trips.driver.lateness,
    }
    # one call for all columns: a request has one row, and a call for each column takes ten times as long
    flat = np.concatenate([columns[name] for name in NAMES], dtype=np.float32, casting="unsafe")
    return np.ascontiguousarray(flat.reshape(len(NAMES), -1).T)


def column(x: Floats, name: str) -> Array:
    """float64[n]: one input by its name."""
    found: Array = x[:, PLACE_OF[name]].astype(np.float64)
    return found


def route_of(x: Floats) -> RouteInputs:
    """The inputs of the routes, float64[n] each."""
    return RouteInputs(*(column(x, item.name) for item in fields(RouteInputs)))
