"""Reads trip records of New York's taxi commission: Parquet files with zones and local times, and a GeoJSON of zones.

A zone stands for its centre of area. The trip times are differences of instants, so a change of the clocks does not
move them; trips in the repeated hour are counted and left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from eta_prediction.domain import Array, Bools
from eta_prediction.offline.trip_files.tally import Tally
from eta_prediction.offline.trip_files.tlc.table import read_table
from eta_prediction.offline.trip_files.tlc.zones import read_zones
from eta_prediction.offline.trip_files.trips import Trips, without
from infra.columns import seconds
from infra.errors import UsageError
from infra.progress import Progress

TIME_ZONE = "America/New_York"


def read_tlc(path: Path, zones_path: Path, report: Progress, tally: Tally) -> Trips:
    """Trips with both zones known. Raises `UsageError` if a file is not what it claims."""
    zones = read_zones(zones_path)
    table = read_table(path)
    report(0.5, f"{table.num_rows:,} rows")
    tally.number, tally.lines = "row", tally.lines + table.num_rows
    begin, begin_s, lost_begin = _instants(table["pickup"])
    end, _, lost_end = _instants(table["dropoff"])
    ids, missing = {}, np.zeros(table.num_rows, bool)
    for name in ("from", "to"):
        values = table[name].to_numpy()
        known = np.isfinite(values)
        missing |= ~known
        ids[name] = np.where(known, values, -1).astype(np.int64)
    (one, has_one), (other, has_other) = (zones.rows(ids[name]) for name in ("from", "to"))
    blur_m = (zones.size_m[one] + zones.size_m[other]) / 2
    trips = Trips(
        begin,
        begin_s,
        end - begin,
        *(zones.lon[one], zones.lat[one], zones.lon[other], zones.lat[other]),
        np.arange(1, table.num_rows + 1),
        *(ids["from"], ids["to"], blur_m),
    )
    reasons = [
        ("a time is blank", np.isnan(begin_s) | (np.isnan(end) & ~lost_end)),
        ("in an hour that the change of the clocks repeats or skips", lost_begin | lost_end),
        ("a zone is blank", missing),
        ("a zone without a place in the GeoJSON", ~(has_one & has_other)),
    ]
    report(1.0, f"{table.num_rows:,} rows")
    if table.num_rows and not (has_one & has_other).any():
        raise UsageError(
            f"no zone of {path} is in {zones_path}",
            hint=f"the GeoJSON has the ids {zones.id[0]} to {zones.id[-1]}, the first trip begins in {ids['from'][0]}",
        )
    return without(trips, reasons, tally)


def _instants(column: pa.ChunkedArray) -> tuple[Array, Array, Bools]:
    """(instants, times on the local clock, mask of the times that are no unique instant) in seconds since 1970."""
    times = pd.DatetimeIndex(pd.Series(column.to_pandas()))
    zoned = (
        times.tz_localize(TIME_ZONE, ambiguous="NaT", nonexistent="NaT")
        if times.tz is None
        else times.tz_convert(TIME_ZONE)
    )
    instant = seconds(zoned.tz_convert("UTC").tz_localize(None).to_numpy())
    clock = seconds(zoned.tz_localize(None).to_numpy() if times.tz is not None else times.to_numpy())
    return instant, clock, np.isnan(instant) & ~np.isnan(clock)
