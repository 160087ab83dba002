"""Ride events on the map of `tests.support.eta_roads`, for tests of the log and of the worker."""

from __future__ import annotations

from typing import Any

import numpy as np

from eta_prediction.events.codec import EDGES, INPUTS, pack
from eta_prediction.events.schemas import Incident, Quote, Traversals, Trip, Weather
from eta_prediction.model.inputs import NAMES

START = 1_767_600_000.0
"""Monday, 5 January 2026, 08:00 UTC"""


def quote(quote_id: int = 1, **changes: Any) -> Quote:
    x = np.linspace(0.5, 2.0, len(NAMES)).astype(np.float32)
    x[NAMES.index("live_s")] = 600.0
    fields: dict[str, Any] = {
        "quote_id": quote_id,
        "request_ts": START,
        "departure_ts": START,
        "origin": 1,
        "destination": 9,
        "ride_type": 0,
        "driver_id": 3,
        "policy": "eta_v1",
        "propensity": 1.0,
        "seed": 5,
        "knobs": {"explore_share": 0.1},
        "degraded": [],
        "model_version": "eta_prediction-smoke/1",
        "model_digest": "abc",
        "model": "network_live",
        "speeds_id": 7,
        "speeds_ts": START - 10,
        "traffic": "live",
        "route_source": "live",
        "edges": pack(np.array([4, 5, 6]), EDGES),
        "x": pack(x, INPUTS),
        "driver_ts": 0.0,
        "quantiles": [500.0, 700.0, 900.0],
        "quoted_s": 700.0,
        "distance_m": 1_234.5,
    }
    return Quote(**fields | changes)


def trip(quote_id: int = 1, status: str = "arrived", at_ts: float = START + 800, **changes: Any) -> Trip:
    fields: dict[str, Any] = {
        "quote_id": quote_id,
        "status": status,
        "reason": "quote" if status == "cancelled" else "",
        "request_ts": START,
        "at_ts": at_ts,
        "origin": 1,
        "destination": 9,
        "ride_type": 0,
        "driver_id": 3,
        "served_driver_id": 3,
        "quoted_s": 700.0,
        "policy": "eta_v1",
        "propensity": 1.0,
        "received_ts": at_ts + 2,
    }
    return Trip(**fields | changes)


def upload(trip_id: int = 1, number: int = 0, enter_ts: float = START, **changes: Any) -> Traversals:
    """An upload of two edges, received a minute after the vehicle entered the first of them."""
    fields: dict[str, Any] = {
        "vehicle_id": 3,
        "trip_id": trip_id,
        "number": number,
        "driver_id": 3,
        "edges": [4, 5],
        "enter_ts": [enter_ts, enter_ts + 20],
        "seconds": [19.5, 12.25],
        "received_ts": enter_ts + 60,
    }
    return Traversals(**fields | changes)


def incident(incident_id: int = 1, cleared_ts: float = 0.0, **changes: Any) -> Incident:
    fields: dict[str, Any] = {
        "incident_id": incident_id,
        "edge": 4,
        "begin_ts": START - 60,
        "reported_ts": START,
        "cleared_ts": cleared_ts,
        "received_ts": max(START, cleared_ts) + 1,
    }
    return Incident(**fields | changes)


def weather(at_ts: float = START, rain: float = 1.0) -> Weather:
    return Weather(at_ts, rain, at_ts + 1)
