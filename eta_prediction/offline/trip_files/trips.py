"""Trips of a real file as arrays. A row that is no possible trip is counted with its reason.

The bounds of a possible trip are wide: they drop meters that were left on, clocks that were wrong and points in the
sea, not slow or fast trips.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from eta_prediction.domain import Array, Bools, Ints
from eta_prediction.offline.trip_files.maps.road_map import check_share
from eta_prediction.offline.trip_files.places import is_place
from eta_prediction.offline.trip_files.rows import Columns, read_columns, wanted_columns
from eta_prediction.offline.trip_files.tally import Tally
from infra.build.trip_files import TripFiles
from infra.columns import DAY_S, seconds
from infra.errors import LabError, UsageError
from infra.progress import Progress
from infra.routing.snap import great_circle_m

SHORTEST_S, LONGEST_S = 30.0, 6 * 3600.0
FASTEST_KMH = 200.0
SAME_M = 10.0
FAR_M = 200_000.0
"""largest distance from the median point of departure"""
MOST_BAD, FEWEST = 0.5, 200
BLANKS = ("", "NA", "N/A", "nan", "NaN", "NULL", "null", "None", "?", "\\N")
EPOCHS = {"s": (6e8, 4e9), "ms": (6e11, 4e12), "us": (6e14, 4e15)}
"""unit of a number that is a time -> range of the numbers, from 1989 to 2096"""

_DAYS = ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y/%m/%d", "%Y%m%d", "%m/%d/%y", "%d-%m-%Y")
FORMS = ("ISO8601", *(f"{day} {clock}" for clock in ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p") for day in _DAYS))
"""forms of times as text; the one that fits the most of the first rows counts"""


@dataclass(frozen=True)
class Trips:
    """Trips in the order of the file. All arrays have one value per trip.

    `at_s` float64 orders the trips; `clock_s` float64 is the departure on the clock in the file; both in seconds since
    1970. `seconds` float64 is the trip time, the others are degrees. `line` int64 is the row in the file. Where places
    are zones, `from_zone` and `to_zone` int64 are their ids and `blur_m` is how far the place may be from the zone's
    centre; elsewhere the zones are -1.
    """

    at_s: Array
    clock_s: Array
    seconds: Array
    from_lon: Array
    from_lat: Array
    to_lon: Array
    to_lat: Array
    line: Ints
    from_zone: Ints
    to_zone: Ints
    blur_m: Array

    def __len__(self) -> int:
        return len(self.line)

    def take(self, rows: npt.NDArray[Any]) -> Trips:
        """The trips of an index or a mask."""
        return Trips(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @property
    def line_m(self) -> Array:
        """float64[n]: the great-circle distance."""
        return great_circle_m(self.from_lon, self.from_lat, self.to_lon, self.to_lat)

    @property
    def has_zones(self) -> bool:
        return bool((self.from_zone >= 0).any())


def read_trips(source: TripFiles, report: Progress, tally: Tally) -> Trips:
    """The possible trips of the file. Raises `UsageError` if the file is not what the options claim, and `LabError` if
    too few trips are possible."""
    assert source.path is not None
    if source.format == "tlc":
        from eta_prediction.offline.trip_files.tlc.records import read_tlc

        assert source.zones is not None
        found = read_tlc(source.path, source.zones, report, tally)
    else:
        found = _of_columns(read_columns(source.path, wanted_columns(source), tally, report), tally)
    found = possible(found, tally)
    tally.good = len(found)
    check_share(source.path.name, tally, MOST_BAD, "rows")
    if len(found) < FEWEST:
        raise LabError(
            f"{source.path} has {len(found)} possible trips; at least {FEWEST} are needed", hint=tally.hint()
        )
    return found


def possible(trips: Trips, tally: Tally) -> Trips:
    """The trips that can have happened. The first reason against a row is counted."""
    line_m = trips.line_m
    is_exact = trips.from_zone < 0
    centre = np.array([[np.median(trips.from_lon), np.median(trips.from_lat)]] if len(trips) else [[0.0, 0.0]])
    away_m = np.maximum(
        great_circle_m(trips.from_lon, trips.from_lat, centre[:, 0], centre[:, 1]),
        great_circle_m(trips.to_lon, trips.to_lat, centre[:, 0], centre[:, 1]),
    )
    first, last = np.quantile(trips.at_s, (0.001, 0.999)) if len(trips) else (0.0, 0.0)
    spare_s = max(7 * DAY_S, (last - first) / 2)
    kmh = np.maximum(line_m - trips.blur_m, 0) / np.maximum(trips.seconds, 1) * 3.6
    reasons: list[tuple[str, Bools]] = [
        ("the trip takes no time, or less than none", trips.seconds <= 0),
        (f"shorter than {SHORTEST_S:.0f} s", trips.seconds < SHORTEST_S),
        (f"longer than {LONGEST_S / 3600:.0f} h", trips.seconds > LONGEST_S),
        ("date far from all others", (trips.at_s < first - spare_s) | (trips.at_s > last + spare_s)),
        (f"more than {FAR_M / 1000:.0f} km from the city", away_m > FAR_M),
        ("from a point to the same point", is_exact & (line_m < SAME_M)),
        (f"faster than {FASTEST_KMH:.0f} km/h on the straight line", kmh > FASTEST_KMH),
    ]
    return without(trips, reasons, tally)


def without(trips: Trips, reasons: list[tuple[str, Bools]], tally: Tally) -> Trips:
    """The trips without those that a mask marks; each is counted for the first mask that marks it."""
    good = np.ones(len(trips), bool)
    for reason, wrong in reasons:
        tally.refuse(reason, trips.line[wrong & good])
        good &= ~wrong
    return trips.take(good)


def numbers_of(column: pa.ChunkedArray) -> Array:
    """float64[n]; NaN for a blank and for text that is no finite number."""
    filled = pc.if_else(pc.is_in(column, value_set=pa.array(BLANKS)), pa.scalar(None, pa.string()), column)
    try:
        values = filled.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        values = pd.to_numeric(pd.Series(filled.to_pandas()), errors="coerce").to_numpy(np.float64)
    values = np.asarray(values, np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def times_of(column: pa.ChunkedArray) -> Array:
    """float64[n]: seconds since 1970, of the clock in the file; NaN for a blank and for text that is no time.

    Reads ISO times, numbers of seconds, milliseconds and microseconds since 1970, and any one other format.
    """
    number = numbers_of(column)
    for unit, (low, high) in EPOCHS.items():
        with np.errstate(invalid="ignore"):
            fits = (number >= low) & (number < high)
        if fits.sum() > 0.5 * max(np.isfinite(number).sum(), 1):
            return np.where(fits, number / {"s": 1, "ms": 1e3, "us": 1e6}[unit], np.nan)
    try:
        return seconds(column.cast(pa.timestamp("us")).to_numpy())
    except pa.ArrowInvalid:
        pass
    text = pd.Series(column.to_pandas())
    sample = text[~text.isin(BLANKS)].head(1000)
    return _parsed(text, max(FORMS, key=lambda form: np.isfinite(_parsed(sample, form)).sum()))


def _parsed(text: pd.Series[str], form: str) -> Array:
    """float64[n]: seconds since 1970; NaN where the text has another form."""
    return seconds(pd.to_datetime(text, format=form, errors="coerce", utc=True).dt.tz_localize(None).to_numpy())


def _of_columns(columns: Columns, tally: Tally) -> Trips:
    values: dict[str, Array] = {}
    reasons: list[tuple[str, Bools]] = []
    for role, column in columns.values.items():
        is_time = role == "pickup_time"
        values[role] = found = times_of(column) if is_time else numbers_of(column)
        is_blank = pc.is_in(column, value_set=pa.array(BLANKS)).to_numpy()
        name, kind = columns.names[role], "time" if is_time else "number"
        unread = np.isnan(found)
        reasons += [(f"{name} is blank", is_blank), (f"{name} is no {kind}", unread & ~is_blank)]
        if len(found) and unread.mean() > MOST_BAD and not is_blank.mean() > MOST_BAD:
            example = next(cell.as_py() for cell, odd in zip(column, unread & ~is_blank, strict=True) if odd)
            raise UsageError(f"column {name!r} is no column of {kind}s", hint=f"it holds {example[:40]!r}")
    places = [(values[f"{end}_lon"], values[f"{end}_lat"]) for end in ("from", "to")]
    reasons += [
        (f"no point of {what}", ~is_place(*place)) for what, place in zip(("departure", "arrival"), places, strict=True)
    ]
    count = len(columns.line)
    none, exact = np.full(count, -1, np.int64), np.zeros(count)
    (one, two), (three, four) = places
    at = values["pickup_time"]
    trips = Trips(at, at, values["duration"], one, two, three, four, columns.line, none, none, exact)
    return without(trips, reasons, tally)
