"""The tables of the log, as Arrow schemas. The generator, the worker and the readers share them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infra.columns import timestamps

AT = pa.timestamp("us", tz="UTC")

TRIPS = pa.schema(
    [
        ("trip_id", pa.int64()),
        ("request_ts", AT),
        ("origin", pa.int32()),
        ("destination", pa.int32()),
        ("ride_type", pa.int8()),
        ("driver_id", pa.int32()),
        ("served_driver_id", pa.int32()),
        ("quoted_s", pa.float32()),
        ("policy", pa.string()),
        ("propensity", pa.float32()),
        ("outcome", pa.string()),
        ("reason", pa.string()),
        ("arrival_ts", AT),
    ]
)
"""A request with its quote and its end. A trip departs at its request. `driver_id` is assigned at the quote, and
`served_driver_id` is known at the end. A cancelled trip has no arrival."""

TRAVERSALS = pa.schema(
    [
        ("trip_id", pa.int64()),
        ("departure_ts", AT),
        ("late_s", pa.float32()),
        ("edges", pa.list_(pa.int32())),
        ("enter_s", pa.list_(pa.uint16())),
        ("cs", pa.list_(pa.uint16())),
    ]
)
"""The edges that a vehicle drove: the second after the departure at which it entered each one, and the hundredths of a
second that it took. A traversal is known `late_s` after its end."""

INCIDENTS = pa.schema(
    [("incident_id", pa.int64()), ("edge", pa.int32()), ("begin_ts", AT), ("reported_ts", AT), ("cleared_ts", AT)]
)
WEATHER = pa.schema([("at_ts", AT), ("rain", pa.float32())])
CALENDAR = pa.schema([("event_id", pa.int64()), ("node", pa.int32()), ("begin_ts", AT), ("end_ts", AT)])


def table_of(schema: pa.Schema, columns: Mapping[str, npt.NDArray[Any] | pa.Array]) -> pa.Table:
    """A table of this schema. Times are seconds since the epoch; NaN becomes null."""
    arrays = []
    for field in schema:
        values = columns[field.name]
        if field.type == AT:
            arrays.append(timestamps(values))
        else:
            arrays.append((values if isinstance(values, pa.Array) else pa.array(np.asarray(values))).cast(field.type))
    return pa.table(arrays, schema=schema)
