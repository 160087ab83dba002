"""Events as rows of the live log. The columns of the history's tables (`events.tables`) have its types, so readers use
the same functions for both; the log adds the event's id and the time when the service received it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from eta_prediction.domain import ARRIVED
from eta_prediction.events.schemas import Incident, Quote, Traversals, Trip, Weather
from eta_prediction.events.tables import AT, INCIDENTS, TRAVERSALS, TRIPS, WEATHER, table_of
from infra.columns import ragged, timestamps

LONGEST_S = 65_535
"""longest time between the first and the last edge of an upload, in seconds"""
_OF_EVENT = [("event_id", pa.string()), ("received_ts", AT)]
LIVE_TRIPS = pa.schema([*TRIPS, ("at_ts", AT), *_OF_EVENT])
"""`outcome` is the event's status; `at_ts` is its time. One trip has several rows."""
LIVE_TRAVERSALS = pa.schema(
    [*TRAVERSALS, ("number", pa.int32()), ("vehicle_id", pa.int64()), ("driver_id", pa.int32()), *_OF_EVENT]
)
"""One row per upload: `departure_ts` is the time at which the vehicle entered the first of its edges."""
LIVE_INCIDENTS = pa.schema([*INCIDENTS, *_OF_EVENT])
LIVE_WEATHER = pa.schema([*WEATHER, *_OF_EVENT])


def trip_event_rows(events: Sequence[Trip]) -> pa.Table:
    """One row per event of a trip. Only an arrival has an `arrival_ts`."""
    columns = _of_events(events) | {
        name: np.array([getattr(event, name) for event in events])
        for name in ("request_ts", "at_ts", "origin", "destination", "ride_type", "driver_id", "served_driver_id")
    }
    columns |= {
        name: np.array([getattr(event, name) for event in events], float) for name in ("quoted_s", "propensity")
    }
    columns |= {
        name: pa.array([getattr(event, name) for event in events], pa.string()) for name in ("policy", "reason")
    }
    return table_of(
        LIVE_TRIPS,
        columns
        | {
            "trip_id": np.array([event.quote_id for event in events], np.int64),
            "outcome": pa.array([event.status for event in events], pa.string()),
            "arrival_ts": np.array([event.at_ts if event.status == ARRIVED else np.nan for event in events]),
        },
    )


def traversal_event_rows(events: Sequence[Traversals]) -> pa.Table:
    """One row per upload. `late_s` is the time from its last edge's end until the service received it."""
    counts = np.array([len(event.edges) for event in events], np.int64)
    edges, enter_ts, spent = (
        np.concatenate([np.asarray(getattr(event, name), kind) for event in events] or [np.zeros(0, kind)])
        for name, kind in (("edges", np.int64), ("enter_ts", np.float64), ("seconds", np.float64))
    )
    owner = np.repeat(np.arange(len(events)), counts)
    begin_ts = np.array([event.enter_ts[0] if len(event.enter_ts) else event.received_ts for event in events], float)
    end_ts = np.array(
        [event.enter_ts[-1] + event.seconds[-1] if len(event.edges) else event.received_ts for event in events], float
    )
    received_ts = np.array([event.received_ts for event in events], float)
    after_s = np.clip(np.rint(enter_ts - begin_ts[owner]), 0, LONGEST_S).astype(np.uint16)
    hundredths = np.clip(np.rint(spent * 100), 1, 65_535).astype(np.uint16)
    return table_of(
        LIVE_TRAVERSALS,
        _of_events(events)
        | {
            "trip_id": np.array([event.trip_id for event in events], np.int64),
            "departure_ts": begin_ts,
            "late_s": np.maximum(received_ts - end_ts, 0.0),
            "edges": ragged(edges.astype(np.int32), counts),
            "enter_s": ragged(after_s, counts),
            "cs": ragged(hundredths, counts),
            "number": np.array([event.number for event in events], np.int64),
            "vehicle_id": np.array([event.vehicle_id for event in events], np.int64),
            "driver_id": np.array([event.driver_id for event in events], np.int64),
        },
    )


def incident_event_rows(events: Sequence[Incident]) -> pa.Table:
    """One row per event of an incident; `cleared_ts` is null in its report."""
    return table_of(
        LIVE_INCIDENTS,
        _of_events(events)
        | {name: np.array([getattr(event, name) for event in events], np.int64) for name in ("incident_id", "edge")}
        | {name: np.array([getattr(event, name) for event in events], float) for name in ("begin_ts", "reported_ts")}
        | {"cleared_ts": np.array([event.cleared_ts if event.is_cleared else np.nan for event in events], float)},
    )


def weather_event_rows(events: Sequence[Weather]) -> pa.Table:
    return table_of(
        LIVE_WEATHER,
        _of_events(events)
        | {name: np.array([getattr(event, name) for event in events], float) for name in ("at_ts", "rain")},
    )


def quote_rows(events: Sequence[Quote]) -> pa.Table:
    """One row per quote: columns for queries, and the whole event as JSON text."""
    return pa.table(
        {
            "quote_id": pa.array([event.quote_id for event in events], pa.int64()),
            "request_ts": timestamps(np.array([event.request_ts for event in events], float)),
            "model_version": pa.array([event.model_version for event in events], pa.string()),
            "is_shadow": pa.array([event.shadow_of >= 0 for event in events], pa.bool_()),
            "event": pa.array([orjson.dumps(event).decode() for event in events], pa.string()),
        }
    )


def _of_events(events: Sequence[Trip | Traversals | Incident | Weather]) -> dict[str, Any]:
    return {
        "event_id": pa.array([event.event_id for event in events], pa.string()),
        "received_ts": np.array([event.received_ts for event in events], float),
    }
