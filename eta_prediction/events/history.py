"""Readers of the generated history: the road graph, trips, traversals, incidents, weather and public events."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from eta_prediction.config import WorldConfig
from eta_prediction.domain import ARRIVED, EXPLORE_POLICY, Array, Bools, Ints, RoadGraph
from infra.columns import seconds
from infra.simulation.days import day_file
from infra.simulation.streams import start_ts

GRAPH = "graph.npz"
ANNOUNCED_DAYS = 30
"""days after the history whose public events the calendar announces"""
T = TypeVar("T")


@dataclass(frozen=True)
class TripRows:
    """n requests in order of time, as in `events.tables.TRIPS`. Times are seconds since the epoch; `arrival_ts` is NaN
    for a cancelled trip, and for one that had not arrived when the log was read."""

    trip_id: Ints
    request_ts: Array
    origin: Ints
    destination: Ints
    ride_type: Ints
    driver_id: Ints
    served_driver_id: Ints
    quoted_s: Array
    propensity: Array
    arrival_ts: Array
    is_explore: Bools
    is_arrived: Bools

    def __len__(self) -> int:
        return len(self.trip_id)

    def take(self, rows: Ints | Bools) -> TripRows:
        return TripRows(*(getattr(self, item.name)[rows] for item in fields(self)))


@dataclass(frozen=True)
class TraversalRows:
    """The traversals of t trips. `trip_id` int64[t] and `departure_ts` float64[t] belong to trips, the rest to their m
    edges in driving order: `owner` int64[m] is the trip's row (ascending), `edge` int64[m]; `enter_ts`, `seconds` and
    `known_ts` float64[m]. A reader at time t must not use a traversal with a later `known_ts`."""

    trip_id: Ints
    departure_ts: Array
    owner: Ints
    edge: Ints
    enter_ts: Array
    seconds: Array
    known_ts: Array


@dataclass(frozen=True)
class IncidentRows:
    """n reported incidents in order of `reported_ts`. `cleared_ts` is infinite for one that is still there. At time t a
    reader knows the incidents with `reported_ts` <= t, and that those with `cleared_ts` <= t have ended."""

    incident_id: Ints
    edge: Ints
    begin_ts: Array
    reported_ts: Array
    cleared_ts: Array


@dataclass(frozen=True)
class EventRows:
    """Public events: `node` int64[n], `begin_ts` and `end_ts` float64[n]."""

    node: Ints
    begin_ts: Array
    end_ts: Array


def write_graph(path: Path, graph: RoadGraph) -> None:
    arrays: dict[str, Any] = {item.name: getattr(graph, item.name) for item in fields(RoadGraph)}
    np.savez(path, **arrays)


def read_graph(world: Path) -> RoadGraph:
    with np.load(world / GRAPH, allow_pickle=False) as stored:
        values: dict[str, Any] = {item.name: stored[item.name] for item in fields(RoadGraph)}
    return RoadGraph(**values | {"airport": int(values["airport"])})


def days_of(config: WorldConfig) -> list[str]:
    """The dates (UTC) of the history."""
    first = start_ts(config)
    return [str(datetime.fromtimestamp(first + day * 86_400.0, UTC).date()) for day in range(config.days)]


def read_trips(world: Path, config: WorldConfig, days: range) -> TripRows:
    """The requests of some days of the history, numbered from 0."""
    table = _read(world / "trips", config, days)
    order = np.argsort(seconds(table["request_ts"].to_numpy()), kind="stable")
    return trip_rows(table.take(pa.array(order)))


def trip_rows(table: pa.Table) -> TripRows:
    """The rows of a table with the columns of `TRIPS`, in its order."""
    whole = {item.name: _column(table, item.name) for item in fields(TripRows) if item.name in table.schema.names}
    return TripRows(
        **whole,
        is_explore=pc.equal(table["policy"], EXPLORE_POLICY).to_numpy(),
        is_arrived=pc.equal(table["outcome"], ARRIVED).to_numpy(),
    )


def read_traversals(world: Path, config: WorldConfig, day: int) -> TraversalRows:
    """The traversals of the trips that departed on one day of the history."""
    return traversal_rows(_read(world / "traversals", config, range(day, day + 1)))


def traversal_rows(table: pa.Table) -> TraversalRows:
    """The rows of a table with the columns of `TRAVERSALS`."""
    table = table.combine_chunks()
    lists = table["edges"].combine_chunks()
    count = np.diff(lists.offsets.to_numpy())
    owner = np.repeat(np.arange(len(table)), count)
    edge, enter_s, cs = (table[name].combine_chunks().flatten().to_numpy() for name in ("edges", "enter_s", "cs"))
    departure_ts = seconds(table["departure_ts"].to_numpy())
    enter_ts, spent = departure_ts[owner] + enter_s, np.maximum(cs, 1) / 100.0
    known_ts = enter_ts + spent + table["late_s"].to_numpy().astype(np.float64)[owner]
    trip_id = table["trip_id"].to_numpy()
    return TraversalRows(trip_id, departure_ts, owner, edge.astype(np.int64), enter_ts, spent, known_ts)


def read_incidents(world: Path, config: WorldConfig, days: range | None = None) -> IncidentRows:
    return incident_rows(_read(world / "incidents", config, range(config.days) if days is None else days))


def incident_rows(table: pa.Table) -> IncidentRows:
    column = {item.name: _column(table, item.name) for item in fields(IncidentRows)}
    column["cleared_ts"] = np.where(np.isnan(column["cleared_ts"]), np.inf, column["cleared_ts"])
    order = np.argsort(column["reported_ts"], kind="stable")
    return IncidentRows(**{name: values[order] for name, values in column.items()})


def read_weather(world: Path, config: WorldConfig) -> tuple[Array, Array]:
    """(`at_ts`, `rain`) float64[steps]: rain as observed at the beginning of each traffic step."""
    table = _read(world / "weather", config, range(config.days))
    return _column(table, "at_ts"), _column(table, "rain")


def read_calendar(world: Path, config: WorldConfig) -> EventRows:
    """The public events of the history and of the announced days after it."""
    table = _read(world / "calendar", config, range(config.days + ANNOUNCED_DAYS))
    return EventRows(*(_column(table, item.name) for item in fields(EventRows)))


def _read(folder: Path, config: WorldConfig, days: range) -> pa.Table:
    files = [day_file(folder, start_ts(config, day)) for day in days]
    return pa.concat_tables([pq.read_table(file, partitioning=None) for file in files])


def _column(table: pa.Table, name: str) -> npt.NDArray[Any]:
    """The column as int64, or float64; times as seconds since the epoch."""
    values: npt.NDArray[Any] = table[name].to_numpy()
    if name.endswith("_ts"):
        return seconds(values)
    return values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
