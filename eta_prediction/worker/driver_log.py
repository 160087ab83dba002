"""The finished trips of drivers in memory, those of the history and those of the stream.

The end of a trip has no inputs: those of its quote say what the corrected route predicted. Quotes and trips use
separate topics, so the first of both waits for the other. A trip counts from the time when the service received its
end.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from eta_prediction.config import FeatureConfig
from eta_prediction.domain import NONE, Array, Ints
from eta_prediction.events.codec import inputs_of
from eta_prediction.events.live_history import EndedTrips
from eta_prediction.events.schemas import Quote
from eta_prediction.features.driver_row import FinishedTrips, driver_rows
from eta_prediction.features.route_inputs import RouteInputs
from eta_prediction.features.route_time import RouteTime, noise_s
from eta_prediction.model.corrected_route import is_busy
from eta_prediction.model.inputs import NAMES, column, route_of

MOST_WAITING = 50_000
"""maximum number of quotes that wait for the end of their trip, and of ends that wait for their quote"""
REMEMBERED = 200_000
"""number of recent trips whose second end is recognised"""
T = TypeVar("T")


@dataclass(frozen=True)
class Expected:
    """What a quote says of its trip. `road_s` is the time between the kerbs, `kerbs_s` the time at them, `noise_s` the
    standard deviation; `quantiles` are P10, P50 and P90 in seconds. The other fields name the slice of the trip:
    `traffic` is "live" or "static"."""

    departure_ts: float
    road_s: float
    kerbs_s: float
    noise_s: float
    quantiles: tuple[float, float, float]
    ride_type: int
    traffic: str
    is_busy: bool
    is_rainy: bool


@dataclass(frozen=True)
class Arrival:
    """The end of a trip that arrived, `seconds` after its departure, and what its quote said."""

    seconds: float
    expected: Expected


class DriverLog:
    """Not thread-safe. `history` are the finished trips that the build knew, in any order."""

    def __init__(self, route_time: RouteTime, history: FinishedTrips) -> None:
        self._route_time = route_time
        order = np.argsort(history.driver_id, kind="stable")
        self._history = _take(history, order)
        self._live: defaultdict[int, list[tuple[float, float, float]]] = defaultdict(list)
        self._quotes: OrderedDict[int, Expected] = OrderedDict()
        self._ends: OrderedDict[int, tuple[int, float, float]] = OrderedDict()
        """trip -> (driver, arrival time, known time) of trips that wait for their quote"""
        self._done: OrderedDict[int, None] = OrderedDict()
        self._touched: dict[int, float] = {}
        """driver -> the earliest known time of a trip that no pushed row contains"""

    @property
    def has_new(self) -> bool:
        return bool(self._touched)

    def add_quotes(self, quotes: Sequence[Quote]) -> list[Arrival]:
        """Add quotes; returns the arrivals that waited for them."""
        found = []
        for quote in quotes:
            expected = self._expected(quote)
            if expected is None or quote.quote_id in self._done:
                continue
            if (end := self._ends.pop(quote.quote_id, None)) is not None:
                found.append(self._arrive(quote.quote_id, *end, expected))
            else:
                self._quotes[quote.quote_id] = expected
        return found

    def add_ends(self, ended: EndedTrips) -> list[Arrival]:
        """Add ends of trips; returns the arrivals whose quotes are known. Only the first end of a trip counts."""
        trips, found = ended.trips, []
        columns = (trips.trip_id, trips.is_arrived, trips.served_driver_id, trips.arrival_ts, ended.known_ts)
        for trip, is_arrived, driver, arrival_ts, known_ts in zip(
            *(values.tolist() for values in columns), strict=True
        ):
            if trip in self._done or trip in self._ends:
                continue
            expected = self._quotes.pop(trip, None)
            if not is_arrived:
                self._done[trip] = None
            elif expected is not None:
                found.append(self._arrive(trip, driver, arrival_ts, known_ts, expected))
            else:
                self._ends[trip] = (driver, arrival_ts, known_ts)
        return found

    def forget_oldest(self) -> None:
        """Bound the memory: the oldest quotes and ends that still wait will find no partner."""
        _bound(self._quotes, MOST_WAITING)
        _bound(self._ends, MOST_WAITING)
        _bound(self._done, REMEMBERED)

    def due(self, at_ts: float) -> Ints:
        """int64[k]: the drivers with trips known by `at_ts` that no pushed row contains."""
        return np.array(sorted(driver for driver, known_ts in self._touched.items() if known_ts <= at_ts), np.int64)

    def pushed(self, drivers: Ints, at_ts: float) -> None:
        """Rows of `drivers` as of `at_ts` are in the store."""
        for driver in drivers.tolist():
            later = [known_ts for known_ts, _, _ in self._live[driver] if known_ts > at_ts]
            del self._touched[driver]
            if later:
                self._touched[driver] = min(later)

    def rows(self, config: FeatureConfig, at_ts: float, drivers: Ints) -> pd.DataFrame:
        """Rows of the view `driver_now` of `drivers` int64[k], as of `at_ts`, as Feast takes them."""
        trips = FinishedTrips.joined([self._of_history(drivers), self._of_stream(drivers)])
        table = driver_rows(trips, config.driver_window_days, drivers, np.full(len(drivers), at_ts))
        rows: pd.DataFrame = table.to_pandas().rename(columns={"feature_ts": "event_ts"})
        return rows

    def _expected(self, quote: Quote) -> Expected | None:
        """None for a quote without a route, whose trip says nothing about its driver."""
        x = inputs_of(quote.x)
        if x.shape[1] != len(NAMES):
            return None
        ride, road_s = np.array([quote.ride_type]), self._route_time.road_s(route_of(x))
        kerbs_s = self._route_time.fixed_s(ride) + column(x, "pick_up_s") + column(x, "drop_off_s")
        p10, p50, p90 = quote.quantiles
        return Expected(
            quote.departure_ts, float(road_s[0]), float(kerbs_s[0]), float(noise_s(road_s, ride)[0]), (p10, p50, p90),
            quote.ride_type, quote.traffic, bool(is_busy(x)[0]), bool(column(x, "rain")[0] > 0),
        )  # fmt: skip

    def _arrive(self, trip: int, driver: int, arrival_ts: float, known_ts: float, expected: Expected) -> Arrival:
        seconds = arrival_ts - expected.departure_ts
        self._done[trip] = None
        if driver != NONE:
            surplus_s = seconds - expected.road_s - expected.kerbs_s
            values = (np.array([value]) for value in (known_ts, surplus_s, expected.noise_s, expected.road_s))
            trips = FinishedTrips.of(np.array([driver]), *values)
            self._live[driver].append((known_ts, float(trips.residual[0]), float(trips.noise[0])))
            self._touched[driver] = min(known_ts, self._touched.get(driver, np.inf))
        return Arrival(seconds, expected)

    def _of_history(self, drivers: Ints) -> FinishedTrips:
        first, last = (np.searchsorted(self._history.driver_id, drivers, side) for side in ("left", "right"))
        parts = [np.arange(low, high) for low, high in zip(first.tolist(), last.tolist(), strict=True)]
        return _take(self._history, np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64))

    def _of_stream(self, drivers: Ints) -> FinishedTrips:
        trips = [(driver, *trip) for driver in drivers.tolist() for trip in self._live.get(driver, ())]
        driver, *values = (np.array(one) for one in zip(*trips, strict=True)) if trips else (np.zeros(0),) * 4
        return FinishedTrips(driver.astype(np.int64), *values)


def read_finished(features: Path, route_time: RouteTime) -> FinishedTrips:
    """The finished trips of the history, from the files of trips that the step `features` wrote."""
    none = np.zeros(0)
    parts = [FinishedTrips(np.zeros(0, np.int64), none, none, none)]
    for file in sorted((features / "trips").glob("*.npz")):
        with np.load(file, allow_pickle=False) as stored:
            route = RouteInputs(*(stored[f"route.{item.name}"] for item in fields(RouteInputs)))
            ride, seconds, departure_ts = (stored[name] for name in ("ride_type", "seconds", "departure_ts"))
            kerbs_s = route_time.fixed_s(ride) + stored["pick_up_s"] + stored["drop_off_s"]
            driver = stored["served_driver_id"]
        road_s = route_time.road_s(route)
        arrival_ts: Array = departure_ts + seconds
        surplus_s: Array = seconds - road_s - kerbs_s
        parts.append(FinishedTrips.of(driver, arrival_ts, surplus_s, noise_s(road_s, ride), road_s))
    return FinishedTrips.joined(parts)


def _take(trips: FinishedTrips, rows: Ints) -> FinishedTrips:
    return FinishedTrips(trips.driver_id[rows], trips.arrival_ts[rows], trips.residual[rows], trips.noise[rows])


def _bound(items: OrderedDict[int, T], most: int) -> None:
    """Drop the oldest items beyond `most`."""
    while len(items) > most:
        items.popitem(last=False)
